import type { Context } from 'hono';
import { errors, jwtVerify } from 'jose';
import type pg from 'pg';
import { z } from 'zod';
import { headersOf } from '../gateway/caller.ts';
import { hasNul } from '../gateway/readable.ts';
import type { LiteService } from '../lite.ts';
import { folderListing } from './listing.ts';

type Json = Record<string, unknown>;

const manyToSign = z.object({ expiresIn: z.number(), paths: z.array(z.string()) });
const relocation = z.object({ destinationKey: z.string() });

// What Supabase Storage allows in the name of an object: letters without accents, digits and these signs.
const validKey = /^[\w/!\-.*'() &$@=;:+,?]+$/;

/**
 * Storage as storage-js speaks it and Supabase answers it, where @supabase/lite differs: uploads in the form field it uses,
 * metadata of the user's own, the names it reads in signed addresses, several signed at once, lists of one folder, and the
 * names that are allowed.
 *
 * @param options.pool connects as `supabase_storage_admin`
 */
export function storageRequests(options: { lite: LiteService; pool: pg.Pool; jwtSecret: string }) {
  const { lite, pool } = options;
  const secret = new TextEncoder().encode(options.jwtSecret);
  const listFolder = folderListing(pool, options.jwtSecret);

  return async (c: Context): Promise<Response> => {
    const { pathname, searchParams } = new URL(c.req.url);
    const path = pathname.replace(/^\/storage\/v1/, '');
    const { method } = c.req;
    const isJson = (c.req.header('content-type') ?? '').startsWith('application/json');
    const isUpload = ['POST', 'PUT'].includes(method) && /^\/object\/(?!list\/|sign\/|move$|copy$|info\/|public\/)/.test(path);

    if (isUpload) {
      const { key } = objectAt(path);
      if (!validKey.test(key)) return invalidKey(c, key);
    }
    if (method === 'POST' && /^\/object\/(move|copy)$/.test(path)) {
      const parsed = relocation.safeParse(await c.req.raw.clone().json().catch(() => undefined));
      if (parsed.success && !validKey.test(parsed.data.destinationKey)) return invalidKey(c, parsed.data.destinationKey);
    }
    const reason = decodeURIComponent(path).includes('\0')
      ? 'No name has the character U+0000.'
      : isJson && !isUpload && method !== 'GET'
      ? whyNoJson(await c.req.raw.clone().text())
      : undefined;
    if (reason) return c.json({ statusCode: '400', error: 'InvalidRequest', message: reason }, 400);
    if (method === 'POST' && path.startsWith('/object/list/')) {
      return listFolder(c, decodeURIComponent(path.slice('/object/list/'.length)));
    }
    if (method === 'POST' && /^\/object\/sign\/[^/]+$/.test(path)) return signMany(c, path);
    const token = searchParams.get('token');
    if (token !== null && path.startsWith('/object/') && path.includes('/sign/')) {
      const invalid = await whyInvalid(token);
      if (invalid) return c.json({ statusCode: '400', error: 'InvalidJWT', message: invalid }, 400);
    }

    const isForm = (c.req.header('content-type') ?? '').startsWith('multipart/form-data');
    const upload = isUpload && isForm ? await readUpload(c).catch(() => null) : undefined;
    if (upload === null) return c.json({ statusCode: '400', error: 'InvalidRequest', message: 'The body is no form.' }, 400);
    const response = await lite.fetch(upload?.request ?? withoutKey(c));
    if (!response.ok) return response;
    if (method === 'POST' && /^\/object\/(upload\/)?sign\//.test(path)) {
      return Response.json(withRelativeUrl((await response.json()) as Json));
    }
    const userMetadata = upload?.metadata ?? decodeMetadata(c.req.header('x-metadata'));
    if (isUpload && userMetadata) await keepMetadata(path, userMetadata);
    return response;
  };

  /** Signs each path by itself; @supabase/lite takes the request for one that names no object. */
  async function signMany(c: Context, path: string): Promise<Response> {
    const parsed = manyToSign.safeParse(await c.req.json().catch(() => undefined));
    if (!parsed.success) {
      return c.json({ statusCode: '400', error: 'InvalidRequest', message: z.prettifyError(parsed.error) }, 400);
    }
    const { expiresIn, paths } = parsed.data;
    const headers = headersOf(c);
    headers.delete('content-length');
    const signed = await Promise.all(
      paths.map(async (key) => {
        const address = new URL(`/storage/v1${path}/${key.split('/').map(encodeURIComponent).join('/')}`, c.req.url);
        const response = await lite.fetch(new Request(address, { method: 'POST', headers, body: JSON.stringify({ expiresIn }) }));
        const body = (await response.json()) as Json;
        if (!response.ok) return { path: key, signedURL: null, error: body.message };
        return { path: key, signedURL: withRelativeUrl(body).signedURL, error: null };
      }),
    );
    return c.json(signed);
  }

  async function whyInvalid(token: string): Promise<string | undefined> {
    try {
      await jwtVerify(token, secret, { algorithms: ['HS256'] });
      return undefined;
    } catch (error) {
      return error instanceof errors.JWTExpired ? '"exp" claim timestamp check failed' : 'jwt malformed';
    }
  }

  /** Stores what the uploader says about an object, which @supabase/lite forgets. */
  async function keepMetadata(path: string, metadata: Json): Promise<void> {
    const { bucket, key } = objectAt(path);
    await pool.query('update storage.objects set user_metadata = $3 where bucket_id = $1 and name = $2', [bucket, key, metadata]);
  }
}

function objectAt(path: string): { bucket: string; key: string } {
  const [bucket = '', ...key] = path.replace(/^\/object\/(upload\/sign\/)?/, '').split('/').map(decodeURIComponent);
  return { bucket, key: key.join('/') };
}

function invalidKey(c: Context, key: string): Response {
  return c.json({ statusCode: '400', error: 'InvalidKey', message: `Invalid key: ${key}` }, 400);
}

/** The file of a form as the body of a plain request, which is what @supabase/lite takes. */
async function readUpload(c: Context): Promise<{ request: Request; metadata: Json | undefined }> {
  const form = await c.req.formData();
  const headers = headersOf(c);
  const cacheControl = form.get('cacheControl');
  if (typeof cacheControl === 'string') {
    headers.set('cache-control', /^\d+$/.test(cacheControl) ? `max-age=${cacheControl}` : cacheControl);
  }
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

function whyNoJson(told: string): string | undefined {
  try {
    return hasNul(JSON.parse(told || '{}')) ? 'No text has the character U+0000.' : undefined;
  } catch {
    return 'The body is not JSON.';
  }
}

function withoutKey(c: Context): Request {
  return new Request(c.req.raw, { headers: headersOf(c) });
}

/** A signed address relative to Storage, under the names storage-js reads: `signedURL` for downloads, `url` for uploads. */
function withRelativeUrl(answer: Json): Json {
  const url = String(answer.signedUrl).replace(/^\/storage\/v1/, '');
  return { ...answer, signedURL: url, url };
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
