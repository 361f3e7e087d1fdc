// Runs a script of the project: node scripts/run.mjs scripts/start.ts --exit
//
// Our own TypeScript is put together with esbuild, in some 50 ms, and packages are left to Node. A loader that translates on
// the way (tsx) stands between Node and each of a thousand files of packages: 1.5 s more before `npm start` does anything.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = resolve(fileURLToPath(import.meta.url), '../..');
// Within node_modules, so that packages are found from there.
const cache = join(root, 'node_modules/.cache/vicinia-scripts');
const dayMs = 24 * 60 * 60 * 1000;

/** What a file finds beside itself, it finds there too when it has become a part of another. */
const ownAddress = {
  name: 'own address',
  setup({ onLoad }) {
    onLoad({ filter: /\.m?ts$/ }, async ({ path }) => ({
      contents: (await readFile(path, 'utf8')).replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href)),
      loader: 'ts',
    }));
  },
};

/** Puts a script together, unless that has been done with the same code, and returns where. */
async function prepare(script) {
  const { outputFiles } = await build({
    entryPoints: { main: script },
    absWorkingDir: root,
    outdir: cache,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    packages: 'external',
    // What a script imports late stays apart and is loaded late.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: 'inline',
    sourcesContent: false,
    logLevel: 'error',
    plugins: [ownAddress],
    write: false,
  });
  const digest = createHash('sha256');
  for (const { path, contents } of outputFiles) digest.update(path).update(contents);
  const name = `${basename(script, '.ts')}-`;
  const folder = join(cache, name + digest.digest('hex').slice(0, 16));
  if (!existsSync(folder)) {
    mkdirSync(cache, { recursive: true });
    removeOld(name);
    // In one step: whoever starts at the same moment sees all of it or nothing.
    const draft = mkdtempSync(join(cache, '.draft-'));
    for (const { path, contents } of outputFiles) writeFileSync(join(draft, relative(cache, path)), contents);
    try {
      renameSync(draft, folder);
    } catch (error) {
      rmSync(draft, { recursive: true, force: true });
      if (!existsSync(folder)) throw error;
    }
  }
  return join(folder, 'main.mjs');
}

function removeOld(name) {
  for (const entry of readdirSync(cache)) {
    const folder = join(cache, entry);
    if (entry.startsWith(name) && Date.now() - statSync(folder).mtimeMs > dayMs) rmSync(folder, { recursive: true, force: true });
  }
}

process.setSourceMapsEnabled(true);
// From here on it looks as if Node had been given the script.
process.argv.splice(1, 1);
process.argv[1] = resolve(process.argv[1]);
await import(pathToFileURL(await prepare(process.argv[1])).href);
