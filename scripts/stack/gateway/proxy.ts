import type { Context } from 'hono';
import { proxy } from 'hono/proxy';
import { headersOf } from './caller.ts';

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

/** The address a request came from. */
export function peerAddress(c: Context): string {
  const { incoming } = c.env as { incoming?: { socket?: { remoteAddress?: string } } };
  return incoming?.socket?.remoteAddress ?? '127.0.0.1';
}
