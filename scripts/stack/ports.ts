import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

// A port that we gave away stays free until its program listens, so the next who asks could get it too.
const given = new Set<number>();

/**
 * A TCP port of 127.0.0.1 that is free at this moment and that we gave to nobody else, for a program that cannot choose one
 * itself. It lies below the range from which systems serve outgoing connections, so that none takes it before the program does.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    if (given.has(port)) continue;
    given.add(port);
    if ((await obstacleToPort(port)) === undefined) return port;
  }
}

/** What would keep a server from listening on this port of 127.0.0.1 now, as an error code; undefined when nothing would. */
export function obstacleToPort(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}
