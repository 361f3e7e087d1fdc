import { connect, type Socket } from 'node:net';

/** What a server answered. */
export type PipelineAnswer = { status: number; text: string };

type Waiting = { resolve: (answer: PipelineAnswer) => void; reject: (error: Error) => void };

/**
 * An HTTP client for thousands of small requests to one server, over connections that are kept: what is asked in one turn
 * of the event loop is written at once, without waiting for the answers before (HTTP/1.1 pipelining), and answered in
 * order. A third of the work of `node:http`, which is why the attack matrix has it.
 */
export function createPipeline(url: string, connections: number): {
  send(method: string, path: string, headers: Record<string, string>, body?: string): Promise<PipelineAnswer>;
  close(): void;
} {
  const { hostname, port, host } = new URL(url);
  const lines = Array.from({ length: connections }, () => createLine(Number(port), hostname));
  let next = 0;
  return {
    send(method, path, headers, body = '') {
      const line = lines[(next += 1) % lines.length] as Line;
      const head = Object.entries({ host, ...headers, 'content-length': String(Buffer.byteLength(body)) });
      return line.send(`${method} ${path} HTTP/1.1\r\n${head.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`);
    },
    close: () => lines.forEach((line) => line.close()),
  };
}

type Line = { send(request: string): Promise<PipelineAnswer>; close(): void };

/** One connection, made when it is first needed. */
function createLine(port: number, host: string): Line {
  let socket: Socket | undefined;
  let received: Buffer = Buffer.alloc(0);
  let outgoing = '';
  const waiting: Waiting[] = [];

  const fail = (error: Error) => {
    socket?.destroy();
    socket = undefined;
    received = Buffer.alloc(0);
    for (const { reject } of waiting.splice(0)) reject(error);
  };
  const open = (): Socket => {
    const opened = connect({ port, host, noDelay: true });
    opened.on('data', (part) => {
      received = received.length === 0 ? part : Buffer.concat([received, part]);
      try {
        for (let answer = takeAnswer(received); answer; answer = takeAnswer(received)) {
          received = received.subarray(answer.length);
          waiting.shift()?.resolve(answer);
        }
      } catch (error) {
        fail(error as Error);
      }
    });
    opened.on('error', fail);
    opened.on('close', () => fail(new Error('The server closed the connection.')));
    return opened;
  };
  const flush = () => {
    socket ??= open();
    socket.write(outgoing);
    outgoing = '';
  };
  return {
    send: (request) =>
      new Promise((resolve, reject) => {
        if (outgoing === '') queueMicrotask(flush);
        outgoing += request;
        waiting.push({ resolve, reject });
      }),
    close: () => {
      socket?.removeAllListeners('close');
      socket?.destroy();
    },
  };
}

const blankLine = Buffer.from('\r\n\r\n');

/** The answer at the beginning of what was received, with how long it is; undefined while it is not there as a whole. */
function takeAnswer(received: Buffer): (PipelineAnswer & { length: number }) | undefined {
  const headEnd = received.indexOf(blankLine);
  if (headEnd === -1) return undefined;
  const head = received.toString('latin1', 0, headEnd);
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
  if (!status) throw new Error(`This is no answer: ${head}`);
  let at = headEnd + 4;
  const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
  if (!/\r\ntransfer-encoding: *chunked/i.test(head)) {
    // The only answers without a length that this server gives have no content.
    return received.length < at + length ? undefined : { status, text: received.toString('utf8', at, at + length), length: at + length };
  }
  const parts: Buffer[] = [];
  for (;;) {
    const lineEnd = received.indexOf('\r\n', at, 'latin1');
    if (lineEnd === -1) return undefined;
    const size = Number.parseInt(received.toString('latin1', at, lineEnd), 16);
    const end = lineEnd + 2 + size;
    if (received.length < end + 2) return undefined;
    if (size === 0) return { status, text: Buffer.concat(parts).toString('utf8'), length: end + 2 };
    parts.push(received.subarray(lineEnd + 2, end));
    at = end + 2;
  }
}
