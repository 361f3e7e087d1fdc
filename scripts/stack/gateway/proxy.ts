import { Agent, type IncomingMessage, type OutgoingHttpHeaders, request, type ServerResponse } from 'node:http';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { Context } from 'hono';
import { proxy } from 'hono/proxy';
import { authorizationOf, headersOf } from './caller.ts';

/**
 * Passes a request on to a service of ours and its answer back, both as streams, with the caller's address and without
 * the API key.
 *
 * @param target the address of the service, path and query included
 */
export async function passOn(c: Context, target: string): Promise<Response> {
  const headers = headersOf(c);
  headers.delete('host');
  headers.delete('accept-encoding');
  const url = new URL(c.req.url);
  headers.set('x-forwarded-host', url.host);
  headers.set('x-forwarded-proto', url.protocol.replace(':', ''));
  headers.set('x-forwarded-for', peerAddress(c));
  return proxy(target, { method: c.req.method, headers, body: c.req.raw.body, redirect: 'manual', signal: c.req.raw.signal });
}

// What an idle connection is kept for: less than any service of ours keeps it.
const connections = new Agent({ keepAlive: true, timeout: 4000 });
const oneHop = ['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer', 'transfer-encoding', 'upgrade'];

/**
 * What `passOn` does, from socket to socket, which takes half as long: for what apps, and edge functions, ask most, which is
 * PostgREST.
 */
export async function relay(c: Context, target: string): Promise<Response> {
  const { incoming, outgoing } = c.env as { incoming: IncomingMessage; outgoing: ServerResponse };
  if (incoming.method === 'HEAD') return passOn(c, target); // of which Hono makes an answer of its own
  const headers: OutgoingHttpHeaders = { ...incoming.headers, authorization: authorizationOf(c) };
  for (const name of ['host', 'apikey', 'accept-encoding', ...oneHop]) delete headers[name];
  if (headers.authorization === undefined) delete headers.authorization;
  Object.assign(headers, { 'x-forwarded-host': incoming.headers.host ?? '', 'x-forwarded-proto': 'http', 'x-forwarded-for': peerAddress(c) });

  await new Promise<void>((resolve, reject) => {
    const asked = request(target, { method: incoming.method, headers, agent: connections }, (answer) => {
      outgoing.statusCode = answer.statusCode ?? 502;
      c.res.headers.forEach((value, name) => outgoing.setHeader(name, value));
      for (const [name, value] of Object.entries(answer.headers)) if (value !== undefined && !oneHop.includes(name)) outgoing.setHeader(name, value);
      answer.on('error', () => outgoing.destroy());
      answer.pipe(outgoing);
      resolve();
    });
    asked.on('error', reject);
    // Who hung up waits for no answer.
    outgoing.on('close', () => void (outgoing.writableFinished || asked.destroy()));
    incoming.pipe(asked);
  });
  c.res = undefined; // or Hono would make a new answer of the headers above and this
  c.res = RESPONSE_ALREADY_SENT;
  return c.res;
}

/** The address a request came from. */
export function peerAddress(c: Context): string {
  const { incoming } = c.env as { incoming?: { socket?: { remoteAddress?: string } } };
  return incoming?.socket?.remoteAddress ?? '127.0.0.1';
}
