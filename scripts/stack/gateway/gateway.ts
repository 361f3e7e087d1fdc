import { createServer, type RequestListener } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { cors } from 'hono/cors';
import type { AuthService } from '../auth/routes.ts';
import type { FunctionsRuntime } from '../functions-runtime.ts';
import type { StackKeys } from '../keys.ts';
import type { MailCatcher } from '../mail.ts';
import { isAddress } from './readable.ts';
import { apiKeys, validJwt, withoutApiKey } from './api-keys.ts';
import { mailPages } from './mail-pages.ts';
import { passOn } from './proxy.ts';
import { restRequests } from './rest.ts';

export type GatewayParts = {
  keys: StackKeys;
  postgrestUrl: string;
  auth: AuthService;
  storage: (c: Context) => Promise<Response>;
  functions: FunctionsRuntime | undefined;
  mails: MailCatcher;
  /** What the landing page says besides the addresses. */
  status: () => Record<string, unknown>;
  onLog: (line: string) => void;
};

// What a page of another origin may read of an answer, as on Supabase.
const exposeHeaders = [
  'Content-Encoding',
  'Content-Location',
  'Content-Range',
  'Content-Type',
  'Date',
  'Link',
  'Location',
  'Preference-Applied',
  'Server',
  'X-Total-Count',
  'X-Sb-Error-Code',
];

/** Everything under one address, with the paths that Supabase has. */
export function createGateway(parts: GatewayParts): RequestListener {
  const { keys, functions } = parts;
  const gateway = new Hono();

  gateway.onError((error, c) => {
    parts.onLog(`${c.req.method} ${c.req.path} failed: ${error.stack ?? error.message}`);
    return c.json({ message: 'A part of the stack does not answer.', detail: error.message }, 502);
  });

  const crossOrigin = cors({
    origin: '*',
    allowMethods: ['GET', 'HEAD', 'PUT', 'PATCH', 'POST', 'DELETE', 'OPTIONS'],
    exposeHeaders,
    maxAge: 3600,
  });
  for (const path of ['/rest/*', '/auth/*', '/storage/*', '/realtime/*', '/graphql/*']) gateway.use(path, crossOrigin);

  gateway.use(async (c, next) => {
    const { pathname } = new URL(c.req.url);
    // Storage answers itself what is no name of an object.
    if (!isAddress(pathname, pathname.startsWith('/storage/'))) return c.json({ message: 'The address is malformed.' }, 400);
    return next();
  });

  gateway.get('/', (c) => {
    const { origin } = new URL(c.req.url);
    return c.json({
      name: 'Vicinia',
      status: 'running',
      rest: `${origin}/rest/v1`,
      auth: `${origin}/auth/v1`,
      storage: `${origin}/storage/v1`,
      functions: functions?.names().map((name) => `${origin}/functions/v1/${name}`) ?? [],
      mail: `${origin}/mail`,
      ...parts.status(),
    });
  });
  gateway.route('/', mailPages(parts.mails));

  // Opened from mails and by sign-in providers, which bring no key.
  const withoutKey = /^\/auth\/v1\/(verify|callback|authorize|\.well-known\/.*)$/;
  const authKey = apiKeys(keys, { required: true });
  gateway.use('/auth/v1/*', (c, next) => (withoutKey.test(c.req.path) && c.req.method === 'GET' ? next() : authKey(c, next)));
  gateway.route('/auth/v1', parts.auth.routes);

  gateway.use('/storage/v1/*', apiKeys(keys, { required: false }));
  gateway.all('/storage/v1/*', parts.storage);

  gateway.use('/functions/v1/*', apiKeys(keys, { required: false }));
  gateway.all('/functions/v1/:name/*', callFunction);
  gateway.all('/functions/v1/:name', callFunction);

  const elsewhere = (what: string) => (c: Context) =>
    c.json(
      { message: `${what} is not part of the local stack. Try it with \`npx supabase start\` or on a hosted project.` },
      501,
    );
  gateway.all('/realtime/v1/*', elsewhere('Realtime'));
  gateway.all('/graphql/v1', elsewhere('GraphQL'));

  gateway.notFound((c) => c.json({ message: 'no Route matched with those values' }, 404));

  const rest = restRequests({
    keys,
    postgrestUrl: parts.postgrestUrl,
    headers: { 'access-control-allow-origin': '*', 'access-control-expose-headers': exposeHeaders.join(',') },
    onLog: parts.onLog,
  });
  const others = getRequestListener(gateway.fetch, { hostname: '127.0.0.1' });
  return (incoming, outgoing) => rest(incoming, outgoing) || others(incoming, outgoing);

  async function callFunction(c: Context): Promise<Response> {
    const name = c.req.param('name') ?? '';
    if (!functions?.names().includes(name)) {
      return c.json({ code: 'NOT_FOUND', message: 'Requested function was not found' }, 404);
    }
    const { pathname, search } = new URL(c.req.url);
    const call = async () => passOn(c, (await functions.urlOf(name)) + pathname.slice('/functions/v1'.length) + withoutApiKey(search));
    if (!functions.verifiesJwt(name)) return call();
    return (await validJwt(keys)(c, async () => void (c.res = await call()))) ?? c.res;
  }
}

/** A server on 127.0.0.1. */
export type GatewayServer = {
  port: number;
  /** Lets a gateway answer; until then every request is told to come back. */
  serve(gateway: RequestListener): void;
  close(): Promise<void>;
};

/**
 * Takes a port, before anything is started that has to know it.
 *
 * @param port 0 takes any free one
 * @throws in one sentence when it is taken
 */
export async function listen(port: number): Promise<GatewayServer> {
  let gateway: RequestListener = (_, outgoing) =>
    void outgoing.writeHead(503, { 'content-type': 'application/json', 'retry-after': '1' }).end('{"message":"The stack is starting."}');
  const server = createServer((incoming, outgoing) => gateway(incoming, outgoing));
  await new Promise<void>((resolve, reject) => {
    server.once(
      'error',
      (error: NodeJS.ErrnoException) =>
        reject(
          error.code === 'EADDRINUSE'
            ? new Error(`Port ${port} is already taken by another program: free it, or choose another with VICINIA_PORT.`)
            : error,
        ),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : port,
    serve: (ready) => void (gateway = ready),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
