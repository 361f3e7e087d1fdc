import type { Context } from 'hono';
import type pg from 'pg';
import type { LiteService } from '../lite.ts';
import { folderListing } from './listing.ts';

type Json = Record<string, unknown>;

/**
 * Storage as storage-js speaks it: uploads in the form field it uses, metadata of the user's own, the names it reads in
 * signed addresses, and lists of one folder. @supabase/lite differs in these.
 *
 * @param options.pool connects as `supabase_storage_admin`
 */
export function storageRequests(options: { lite: LiteService; pool: pg.Pool; jwtSecret: string }) {
  const { lite, pool } = options;
  const listFolder = folderListing(pool, options.jwtSecret);

  return async (c: Context): Promise<Response> => {
    const path = new URL(c.req.url).pathname.replace(/^\/storage\/v1/, '');
    if (c.req.method === 'POST' && path.startsWith('/object/list/')) return listFolder(c, decodeURIComponent(path.slice('/object/list/'.length)));
    const isForm = (c.req.header('content-type') ?? '').startsWith('multipart/form-data');
    const upload = isForm && ['POST', 'PUT'].includes(c.req.method) && path.startsWith('/object/') ? await readUpload(c) : undefined;
    const response = await lite.fetch(upload?.request ?? withoutKey(c));

    if (!response.ok) return response;
    if (/^\/object\/(upload\/)?sign\//.test(path) && c.req.method === 'POST') return withRelativeUrls(response);
    const userMetadata = upload?.metadata ?? decodeMetadata(c.req.header('x-metadata'));
    if (userMetadata && c.req.method !== 'GET' && path.startsWith('/object/')) await keepMetadata(response, path, userMetadata);
    return response;
  };

  /** Stores what the uploader says about an object, which @supabase/lite forgets. */
  async function keepMetadata(response: Response, path: string, metadata: Json): Promise<void> {
    const [bucket, ...name] = decodeURIComponent(path.replace(/^\/object\/(upload\/sign\/)?/, '')).split('/');
    if (response.ok && bucket) {
      await pool.query('update storage.objects set user_metadata = $3 where bucket_id = $1 and name = $2', [bucket, name.join('/'), metadata]);
    }
  }
}

/** The file of a form as the body of a plain request, which is what @supabase/lite takes. */
async function readUpload(c: Context): Promise<{ request: Request; metadata: Json | undefined }> {
  const form = await c.req.formData();
  const headers = new Headers(c.req.raw.headers);
  headers.delete('apikey');
  const cacheControl = form.get('cacheControl');
  if (typeof cacheControl === 'string') headers.set('cache-control', /^\d+$/.test(cacheControl) ? `max-age=${cacheControl}` : cacheControl);
  const file = [...form.values()].find((value) => typeof value !== 'string');
  const content = file ? Buffer.from(await file.arrayBuffer()) : Buffer.alloc(0);
  headers.set('content-type', file?.type || 'application/octet-stream');
  headers.set('content-length', String(content.byteLength));
  const metadata = form.get('metadata');
  return {
    request: new Request(c.req.url, { method: c.req.method, headers, body: content }),
    metadata: typeof metadata === 'string' ? parseMetadata(metadata) : undefined,
  };
}

function withoutKey(c: Context): Request {
  const headers = new Headers(c.req.raw.headers);
  headers.delete('apikey');
  return new Request(c.req.raw, { headers });
}

/** Signed addresses relative to Storage, under the names storage-js reads: `signedURL` for downloads, `url` for uploads. */
async function withRelativeUrls(response: Response): Promise<Response> {
  const relative = (item: Json): Json => {
    if (typeof item.signedUrl !== 'string') return item;
    const url = item.signedUrl === '' ? null : item.signedUrl.replace(/^\/storage\/v1/, '');
    return { ...item, signedURL: url, url };
  };
  const body = (await response.json()) as Json | Json[];
  return Response.json(Array.isArray(body) ? body.map(relative) : relative(body), { status: response.status });
}

function decodeMetadata(header: string | undefined): Json | undefined {
  return header ? parseMetadata(Buffer.from(header, 'base64').toString('utf8')) : undefined;
}

function parseMetadata(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
}
