import { AsyncLocalStorage } from 'node:async_hooks';
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

/** What a request does to files once Storage has answered it: that it was done, or not. */
type Change = (isDone: boolean) => Promise<void>;

/** Where the content of objects is kept. */
export type FileStore = StorageAdapter & {
  /**
   * Does to files what a request asks for once it has been answered, as far as it was done: @supabase/lite writes and deletes
   * content before it asks the database, which may refuse.
   */
  settle(request: () => Promise<Response>): Promise<Response>;
};

/**
 * Keeps the content of Storage's objects as files: `<root>/<bucket>/<sha256 of the name>`, with a JSON file of their
 * properties beside each. Hashed, a name can neither leave the folder nor be too long or unlawful for the file system.
 *
 * @param isStored whether the database has an object of this name
 */
export function createFileStore(root: string, isStored: (bucket: string, key: string) => Promise<boolean>): FileStore {
  const requests = new AsyncLocalStorage<Change[]>();
  const change = async (wanted: Change) => {
    const changes = requests.getStore();
    if (changes) changes.push(wanted);
    else await wanted(true);
  };
  const removal = (file: string) => Promise.all([rm(file, { force: true }), rm(`${file}.json`, { force: true })]).then(() => undefined);
  const draftOf = (file: string) => `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  const replacement = (draft: string, file: string): Change => async (isDone) => {
    if (!isDone) return removal(draft);
    await rename(`${draft}.json`, `${file}.json`);
    await rename(draft, file);
  };
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

  const store: FileStore = {
    driver: undefined,

    async settle(request) {
      const changes: Change[] = [];
      let isDone = false;
      try {
        const response = await requests.run(changes, request);
        isDone = response.ok;
        return response;
      } finally {
        for (const settled of changes) await settled(isDone);
      }
    },

    async uploadObject(bucket, key, _version, body, mimetype, cacheControl) {
      const file = fileOf(bucket, key);
      await mkdir(dirname(file), { recursive: true });
      const draft = draftOf(file);
      const digest = createHash('md5');
      const hashing = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          digest.update(chunk);
          done(null, chunk);
        },
      });
      const content = body instanceof Uint8Array ? Readable.from([body]) : Readable.fromWeb(body as ReadableStream);
      try {
        await pipeline(content, hashing, createWriteStream(draft));
      } catch (error) {
        await removal(draft);
        throw error;
      }
      const properties: Properties = { mimetype, cacheControl, eTag: `"${digest.digest('hex')}"` };
      await writeFile(`${draft}.json`, JSON.stringify(properties));
      const described = await describe(draft);
      await change(replacement(draft, file));
      return described;
    },

    async getObject(bucket, key) {
      const file = fileOf(bucket, key);
      const metadata = await describe(file);
      return { metadata, httpStatusCode: 200, body: Readable.toWeb(createReadStream(file)) as globalThis.ReadableStream };
    },

    headObject: (bucket, key) => describe(fileOf(bucket, key)),

    async deleteObject(bucket, key) {
      const file = fileOf(bucket, key);
      // Of many at once some may be gone and others refused.
      await change(async () => void ((await isStored(bucket, key)) || (await removal(file))));
    },

    async deleteObjects(bucket, keys) {
      await Promise.all(keys.map((key) => store.deleteObject(bucket, key, undefined)));
    },

    async copyObject(sourceBucket, source, _version, targetBucket, target) {
      const [from, to] = [fileOf(sourceBucket, source), fileOf(targetBucket, target)];
      await mkdir(dirname(to), { recursive: true });
      const draft = draftOf(to);
      await copyFile(from, draft);
      await copyFile(`${from}.json`, `${draft}.json`);
      const described = await describe(draft);
      await change(replacement(draft, to));
      return described;
    },

    privateAssetUrl: async (bucket, key) => `file://${fileOf(bucket, key)}`,
  };
  return store;
}
