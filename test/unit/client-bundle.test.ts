// What a browser loads: its size, and that nothing of Node is in it.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { CLIENT_NAME } from '../../ts/client/connection.js';

const BUNDLE_BYTES_MAX = 34 * 1024;

describe('the client’s bundle', () => {
  it('is at most 34 KB minified and gzipped, without Node and without FlatBuffers', async () => {
    const result = await build({
      entryPoints: [fileURLToPath(new URL('../../ts/client/index.ts', import.meta.url))],
      bundle: true,
      minify: true,
      format: 'esm',
      platform: 'browser',
      target: 'es2022',
      metafile: true,
      write: false,
      logLevel: 'silent',
    });
    const [output] = result.outputFiles;
    const size = gzipSync(output?.contents ?? new Uint8Array(0), { level: 9 }).length;
    expect(size).toBeGreaterThan(1000);
    expect(size).toBeLessThanOrEqual(BUNDLE_BYTES_MAX);

    // esbuild fails on an import of Node for the browser; what it took in is the proof of the rest.
    const packages = Object.keys(result.metafile.inputs).filter((path) =>
      path.includes('node_modules'),
    );
    expect(packages).toEqual([expect.stringContaining('node_modules/ws/browser.js')]);
    expect(Object.values(result.metafile.outputs)[0]?.imports).toEqual([]);
  });

  it('names itself by the version of the package', () => {
    const manifest: unknown = JSON.parse(
      readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
    );
    expect(manifest).toMatchObject({ version: CLIENT_NAME.split('/')[1] });
  });
});
