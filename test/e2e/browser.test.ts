// The client's bundle in headless Chromium against a real node that allows the page's origin.
// Skipped where no Chromium is found; RONDO_REQUIRE_BROWSER=1 makes that a failure.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import type * as Client from '../../ts/client/index.js';
import { startTestNode } from './client-node.js';

const CANDIDATES = [process.env.RONDO_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser'];
const executablePath = CANDIDATES.find((path) => path !== undefined && existsSync(path));
const isRequired = process.env.RONDO_REQUIRE_BROWSER === '1';
const isSkipped = executablePath === undefined && !isRequired;
const title = isSkipped
  ? 'the client in Chromium (skipped: none found; install chromium or set RONDO_CHROMIUM)'
  : 'the client in Chromium';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

// The page imports by itself: the test runner would rewrite an import in the functions below.
const PAGE = `<!doctype html><title>rondo</title>
<script type="module">import * as client from '/client.js'; window.client = client;</script>`;

interface Page {
  readonly client: typeof Client;
}

describe.skipIf(isSkipped)(title, () => {
  it('reads, writes, contends, scans and is told off at a wrong origin', async () => {
    if (executablePath === undefined) throw new Error('RONDO_REQUIRE_BROWSER=1, but no Chromium');
    const { outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL('../../ts/client/index.ts', import.meta.url))],
      bundle: true,
      minify: true,
      format: 'esm',
      platform: 'browser',
      target: 'es2022',
      write: false,
      logLevel: 'silent',
    });
    const script = outputFiles[0]?.contents ?? new Uint8Array(0);
    const pages = createServer((request, response) => {
      const isScript = request.url === '/client.js';
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
      response.end(isScript ? script : PAGE);
    });
    await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve));
    const { port } = pages.address() as AddressInfo;
    const origin = `http://127.0.0.1:${port}`;
    const profile = mkdtempSync(`${tmpdir()}/rondo-chromium-`);
    const node = await startTestNode('--allow-origin', origin);
    const context = await chromium.launchPersistentContext(profile, {
      executablePath,
      headless: true,
      args: FLAGS,
    });
    try {
      const page = await context.newPage();
      await page.goto(origin);
      const seen = await page.evaluate(async (url) => {
        const { client } = globalThis as unknown as Page;
        const rondo = client.connect({ url });
        const { kv } = rondo;
        await kv.put('page', { text: 'grüße 🎉' });
        await Promise.all(
          Array.from({ length: 20 }, () =>
            kv.update<number>('n', (value) => (value ?? 0) + 1, { attempts: 1000 }),
          ),
        );
        await kv.as(client.bytes).put('binary', Uint8Array.of(0, 255, 128));
        const keys: string[] = [];
        for await (const { key } of kv.scan('', { keysOnly: true })) keys.push(key);
        const signal = AbortSignal.abort();
        const refused = await kv.get('page', { signal }).catch((error: unknown) => error);
        const result = {
          page: await kv.get('page'),
          n: await kv.get('n'),
          sum: String(await kv.increment('sum', 2n ** 60n)),
          binary: [...((await kv.as(client.bytes).get('binary')) ?? [])],
          keys,
          refused: refused instanceof client.RondoError ? refused.code : '',
          version: rondo.welcome?.version,
        };
        await rondo.drain();
        return result;
      }, node.url);
      expect(seen).toEqual({
        page: { text: 'grüße 🎉' },
        n: 20,
        sum: String(2n ** 60n),
        binary: [0, 255, 128],
        keys: ['binary', 'n', 'page'],
        refused: 'CANCELLED',
        version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      });

      await page.goto(origin.replace('127.0.0.1', 'localhost'));
      const elsewhere = await page.evaluate(async (url) => {
        const { client } = globalThis as unknown as Page;
        const rondo = client.connect({ url, retry: { attempts: 0 } });
        return rondo.ready().catch((error: unknown) => (error as Client.RondoError).code);
      }, node.url);
      expect(elsewhere).toBe('OFFLINE');
    } finally {
      await context.close();
      await node.stop();
      await new Promise((resolve) => pages.close(resolve));
      rmSync(profile, { recursive: true, force: true });
    }
  });
});
