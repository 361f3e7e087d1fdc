import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vitest/config';

const runner = fileURLToPath(new URL('./pgtap.ts', import.meta.url));

/** Turns a pgTAP file into a test file: one test for every line of TAP that it writes. */
export function pgtapFiles(): Plugin {
  return {
    name: 'vicinia:pgtap',
    enforce: 'pre',
    load(id) {
      const [file] = id.split('?');
      if (!file?.endsWith('.sql')) return null;
      return `import { runPgtapFile } from ${JSON.stringify(runner)};\nawait runPgtapFile(${JSON.stringify(file)});\n`;
    },
  };
}
