import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import type { App } from '@supabase/lite';

type StorageAdapter = NonNullable<App['_storageAdapter']>;
type Properties = { mimetype: string; cacheControl: string; eTag: string };

/**
 * Keeps the content of Storage's objects as files: `<root>/<bucket>/<sha256 of the name>`, with a JSON file of their
 * properties beside each. Hashed, a name can neither leave the folder nor be too long or unlawful for the file system.
 */
export function createFileStore(root: string): StorageAdapter {
  const fileOf = (bucket: string, key: string) => {
    const folder = resolve(root, bucket);
    if (!folder.startsWith(resolve(root) + sep)) throw new Error(`Not a bucket name: ${bucket}`);
    const name = createHash('sha256').update(key).digest('hex');
    return join(folder, name.slice(0, 2), name);
  };

  const describe = async (file: string) => {
    const [{ size, mtime }, properties] = [await stat(file), JSON.parse(await readFile(`${file}.json`, 'utf8')) as Properties];
    return { ...properties, lastModified: mtime, contentLength: size, size, httpStatusCode: 200 };
  };

  const store: StorageAdapter = {
    driver: undefined,

    async uploadObject(bucket, key, _version, body, mimetype, cacheControl) {
      const file = fileOf(bucket, key);
      await mkdir(dirname(file), { recursive: true });
      const draft = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`;
      const digest = createHash('md5');
      const hashing = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          digest.update(chunk);
          done(null, chunk);
        },
      });
      const content = body instanceof Uint8Array ? Readable.from([body]) : Readable.fromWeb(body as ReadableStream);
      await pipeline(content, hashing, createWriteStream(draft));
      const properties: Properties = { mimetype, cacheControl, eTag: `"${digest.digest('hex')}"` };
      await writeFile(`${file}.json`, JSON.stringify(properties));
      await rename(draft, file);
      return describe(file);
    },

    async getObject(bucket, key) {
      const file = fileOf(bucket, key);
      const metadata = await describe(file);
      return { metadata, httpStatusCode: 200, body: Readable.toWeb(createReadStream(file)) as globalThis.ReadableStream };
    },

    headObject: (bucket, key) => describe(fileOf(bucket, key)),

    async deleteObject(bucket, key) {
      const file = fileOf(bucket, key);
      await Promise.all([rm(file, { force: true }), rm(`${file}.json`, { force: true })]);
    },

    async deleteObjects(bucket, keys) {
      await Promise.all(keys.map((key) => store.deleteObject(bucket, key, undefined)));
    },

    async copyObject(sourceBucket, source, _version, targetBucket, target) {
      const [from, to] = [fileOf(sourceBucket, source), fileOf(targetBucket, target)];
      await mkdir(dirname(to), { recursive: true });
      await copyFile(from, to);
      await copyFile(`${from}.json`, `${to}.json`);
      return describe(to);
    },

    privateAssetUrl: async (bucket, key) => `file://${fileOf(bucket, key)}`,
  };
  return store;
}
