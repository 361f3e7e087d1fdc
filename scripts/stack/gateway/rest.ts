import { Agent, type IncomingMessage, type OutgoingHttpHeaders, request, type ServerResponse } from 'node:http';
import type { Readable, Writable } from 'node:stream';
import type { StackKeys } from '../keys.ts';
import { isAddress } from './readable.ts';
import { keyReader, withoutApiKey } from './api-keys.ts';
import { bearerIn } from './caller.ts';

const notFilters = new Set(['select', 'columns', 'order', 'limit', 'offset', 'on_conflict', 'apikey']);
const oneHop = ['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer', 'transfer-encoding', 'upgrade'];
const notForPostgrest = new Set([...oneHop, 'host', 'apikey', 'authorization', 'accept-encoding']);
const notForCallers = new Set(oneHop);

/** Answers a request, or says that it is not its business. */
export type RestRequests = (incoming: IncomingMessage, outgoing: ServerResponse) => boolean;

/**
 * PostgREST at /rest/v1: what apps, and edge functions, ask most. So it is passed on from socket to socket, which costs a
 * quarter of what `passOn` costs. Preflights are left to the gateway.
 *
 * @param options.headers what every answer has besides
 */
export function restRequests(options: {
  keys: StackKeys;
  postgrestUrl: string;
  headers: Record<string, string>;
  onLog: (line: string) => void;
}): RestRequests {
  const { hostname, port } = new URL(options.postgrestUrl);
  const readKey = keyReader(options.keys, { required: true });
  // What an idle connection is kept for: less than PostgREST keeps it.
  const connections = new Agent({ keepAlive: true, timeout: 4000 });

  return (incoming, outgoing) => {
    const { url = '', method } = incoming;
    if (!/^\/rest\/v1(?:[/?]|$)/.test(url) || method === 'OPTIONS') return false;
    void answer(incoming, outgoing, url.slice('/rest/v1'.length)).catch((error: Error) => {
      if (outgoing.destroyed) return;
      options.onLog(`${method} ${url.replace(/\?.*/, '')} failed: ${error.stack ?? error.message}`);
      if (outgoing.headersSent) outgoing.destroy();
      else say(outgoing, 502, { message: 'A part of the stack does not answer.', detail: error.message });
    });
    return true;
  };

  async function answer(incoming: IncomingMessage, outgoing: ServerResponse, path: string): Promise<void> {
    const { headers } = incoming;
    if (!isAddress(path)) return say(outgoing, 400, { message: 'The address is malformed.' });
    const reading = await readKey({
      key: headers.apikey?.toString() ?? (path.includes('apikey=') ? queryOf(path).get('apikey') ?? undefined : undefined),
      bearer: bearerIn(headers.authorization),
      userAgent: headers['user-agent'],
    });
    if ('refusal' in reading) return say(outgoing, 401, reading.refusal);
    const missing = statementWithoutFilter(incoming.method, path);
    if (missing) return say(outgoing, 400, { code: '21000', details: null, hint: null, message: `${missing} requires a WHERE clause` });
    return relay(incoming, outgoing, withoutApiKey(path), reading.jwt === undefined ? headers.authorization : `Bearer ${reading.jwt}`);
  }

  function relay(incoming: IncomingMessage, outgoing: ServerResponse, path: string, authorization: string | undefined): Promise<void> {
    const headers: OutgoingHttpHeaders = {};
    for (const name in incoming.headers) if (!notForPostgrest.has(name)) headers[name] = incoming.headers[name];
    if (authorization !== undefined) headers.authorization = authorization;
    headers['x-forwarded-host'] = incoming.headers.host ?? '';
    headers['x-forwarded-proto'] = 'http';
    headers['x-forwarded-for'] = incoming.socket.remoteAddress ?? '127.0.0.1';

    return new Promise((resolve, reject) => {
      const to = { host: hostname, port, path: path.startsWith('/') ? path : `/${path}`, method: incoming.method, headers, agent: connections };
      const asked = request(to, (answered) => {
        const told: OutgoingHttpHeaders = { ...options.headers };
        for (const name in answered.headers) if (!notForCallers.has(name)) told[name] = answered.headers[name];
        answered.on('error', () => outgoing.destroy());
        pass(answered, outgoing, (length) => {
          if (length && incoming.method !== 'HEAD') told['content-length'] = length;
          outgoing.writeHead(answered.statusCode ?? 502, told);
        });
        resolve();
      });
      asked.on('error', reject);
      // Who hung up waits for no answer.
      outgoing.on('close', () => void (outgoing.writableFinished || asked.destroy()));
      pass(incoming, asked, () => undefined);
    });
  }

  function say(outgoing: ServerResponse, status: number, body: object): void {
    outgoing.writeHead(status, { ...options.headers, 'content-type': 'application/json' }).end(JSON.stringify(body));
  }
}

const inOnePiece = 64 * 1024;

/**
 * Passes on what comes: a little of it in one piece, which spares both sides half of the work; more of it as a stream.
 *
 * @param begin called before the first of it, with the length where that is known
 */
function pass(from: Readable, to: Writable, begin: (length?: number) => void): void {
  const pieces: Buffer[] = [];
  let size = 0;
  const take = (piece: Buffer) => {
    pieces.push(piece);
    if ((size += piece.length) <= inOnePiece) return;
    from.off('data', take).off('end', finish);
    begin();
    for (const held of pieces) to.write(held);
    from.pipe(to);
  };
  const finish = () => {
    begin(size);
    if (size === 0) to.end();
    else to.end(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces));
  };
  from.on('data', take).on('end', finish);
}

/** UPDATE or DELETE where it has no filter, which Supabase's database refuses by an extension (safeupdate) that is missing here. */
function statementWithoutFilter(method: string | undefined, path: string): string | undefined {
  const statement = method === 'PATCH' ? 'UPDATE' : method === 'DELETE' ? 'DELETE' : undefined;
  if (!statement || path.startsWith('/rpc/')) return undefined;
  return [...queryOf(path).keys()].every((name) => notFilters.has(name)) ? statement : undefined;
}

const queryOf = (path: string) => new URL(path, 'http://gateway').searchParams;
