// The log's benchmark end to end, in its smallest form: every row runs, figures come out, and nothing is
// left behind.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LogRow } from '../../bench/log/results.js';
import { logRows } from '../../bench/log/rows.js';
import { buildGenerator, runBench } from './peers-fixture.js';

const BUILD_TIMEOUT_MS = 600_000;
const RUN_TIMEOUT_MS = 180_000;

const isLinux = process.platform === 'linux';
const absence = isLinux ? buildGenerator() : 'processes are looked for in /proc, which is Linux';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rondo-peers-log-'));
}, BUILD_TIMEOUT_MS);
afterAll(() => rmSync(folder, { recursive: true }));

function scratch(name: string): { TMPDIR: string } {
  const path = join(folder, name);
  mkdirSync(path);
  return { TMPDIR: path };
}

describe.skipIf(absence !== undefined)(`bench:log${absence ? ` (${absence})` : ''}`, () => {
  it('runs every row that a quick run can, and leaves nothing behind', {
    timeout: RUN_TIMEOUT_MS,
  }, async () => {
    const out = join(folder, 'out');
    const { TMPDIR } = scratch('quick');
    const run = runBench('log', ['--quick', '--out', out], { TMPDIR });
    const { code, stdout, stderr } = await run.ended;
    expect(stderr).not.toContain('bench:log:');
    expect(code).toBe(0);
    expect(run.leftovers()).toEqual([]);
    expect(readdirSync(TMPDIR)).toEqual([]);
    expect(stdout).toContain('Its figures mean nothing.');
    const { rows } = JSON.parse(readFileSync(join(out, 'log.json'), 'utf8')) as { rows: LogRow[] };
    expect(rows.map(({ name }) => name)).toEqual(logRows().map(({ name }) => name));
    for (const { name, status, figure } of rows) {
      if (name.startsWith('compaction.gets')) expect(status).toBe('not measured');
      else expect(figure?.median).toBeGreaterThan(0);
    }
  });

  it('leaves nothing behind on SIGINT', { timeout: RUN_TIMEOUT_MS }, async () => {
    const { TMPDIR } = scratch('interrupted');
    const args = ['--rows', 'append.throughput', '--bytes', '2GiB'];
    const run = runBench('log', args, { TMPDIR });
    await run.saying(/^appends, native/m);
    run.child.kill('SIGINT');
    const { code, stdout } = await run.ended;
    expect(code).toBe(130);
    expect(stdout).toBe('');
    expect(run.leftovers()).toEqual([]);
    expect(readdirSync(TMPDIR)).toEqual([]);
  });

  it.each([
    { args: ['--bytes', 'much'], code: 2, says: 'A size such as 512MiB' },
    { args: ['--bogus'], code: 2, says: '--bogus' },
    { args: ['--rows', 'nothing'], code: 1, says: 'no row matches nothing; there are recovery.' },
  ])('refuses $args', async ({ args, code, says }) => {
    const ended = await runBench('log', args).ended;
    expect(ended.code).toBe(code);
    expect(ended.stderr).toContain(says);
  });
});
