// A node process with a data directory: what it acknowledged is there after SIGKILL, whichever engine
// wrote it and whichever reads it; and what it says of a directory that it cannot use.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { connect } from '../../ts/client/index.js';
import { nativeAbsence, run, startTestNode, type TestNode } from './client-node.js';

const scratch = mkdtempSync(join(tmpdir(), 'rondo-durable-'));
let made = 0;
const nodes: TestNode[] = [];

afterEach(async () => {
  for (const node of nodes.splice(0)) await node.kill();
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function freshDirectory(): string {
  return join(scratch, `data-${made++}`);
}

/** A start that is expected to fail. */
function serve(...more: string[]): ReturnType<typeof run> {
  return run('node/main.js', ['serve', '--port', '0', ...more]);
}

async function doctor(dataDir: string, ...more: string[]): Promise<Record<string, string>> {
  const arguments_ = ['doctor', '--json', '--port', '0', '--data-dir', dataDir, ...more];
  const { stdout } = await run('node/main.js', arguments_);
  const { findings } = JSON.parse(stdout) as { findings: Record<string, string>[] };
  return findings.find(({ name }) => name === 'data') ?? {};
}

async function start(dataDir: string, ...more: string[]): Promise<TestNode> {
  const small = ['--log-segment-bytes', '64KiB'];
  const node = await startTestNode('--data-dir', dataDir, ...small, ...more);
  nodes.push(node);
  return node;
}

const ENGINES = ['ts', 'native'] as const;
const PAIRS = ENGINES.flatMap((writer) => ENGINES.map((reader) => ({ writer, reader })));

describe.each(PAIRS)('written with the $writer engine, read with $reader', ({ writer, reader }) => {
  const needsAddon = writer === 'native' || reader === 'native';

  it.skipIf(needsAddon && nativeAbsence() !== undefined)('survives SIGKILL', async () => {
    const dataDir = freshDirectory();
    const first = await start(dataDir, '--engine', writer);
    const client = connect({ url: first.url });
    const puts = Array.from({ length: 3000 }, (_, index) =>
      client.kv.put(`key/${index % 1000}`, `value ${index} ${'.'.repeat(index % 200)}`),
    );
    const revisions = await Promise.all(puts);
    await client.kv.delete('key/7');
    await client.kv.put('short', 'lived', { ttlMs: 3_600_000 });
    const count = await client.kv.increment('count', 5);
    await first.kill();
    await client.close();

    const second = await start(dataDir, '--engine', reader);
    const again = connect({ url: second.url });
    const { durability, keys } = await again.ready();
    expect([durability, keys]).toEqual(['sync', 1001]);
    for (const index of [0, 6, 8, 999]) {
      const newest = 2000 + index;
      const entry = await again.kv.entry(`key/${index}`);
      expect(entry?.value).toBe(`value ${newest} ${'.'.repeat(newest % 200)}`);
      expect(entry?.revision).toBe(revisions[newest]?.revision);
    }
    expect(await again.kv.get('key/7')).toBeUndefined();
    expect((await again.kv.entry('short'))?.ttlMs).toBeGreaterThan(3_500_000);
    expect(await again.kv.increment('count', 1)).toBe(count + 1n);
    // Revisions go on: none is given twice.
    const { revision } = await again.kv.put('key/0', 'new');
    expect(revision).toBeGreaterThan(revisions[2000]?.revision ?? 0);
    await again.close();
    await second.stop();

    const third = await start(dataDir, '--engine', writer);
    const last = connect({ url: third.url });
    expect(await last.kv.get('key/0')).toBe('new');
    await last.close();
  });
});

describe('a data directory', () => {
  it('is used by one node at a time', async () => {
    const dataDir = freshDirectory();
    await start(dataDir);
    const other = await serve('--json', '--data-dir', dataDir);
    expect(other.exitCode).toBe(1);
    expect(JSON.parse(other.stderr.trim().split('\n').at(-1) ?? '')).toMatchObject({
      event: 'error',
      code: 'DATA_LOCKED',
    });
  });

  it('is looked at by doctor', async () => {
    const dataDir = freshDirectory();
    expect((await doctor(dataDir)).found).toMatch(/to be made.*free, durability sync/);
    await start(dataDir, '--partitions', '16');
    expect(await doctor(dataDir)).toMatchObject({
      status: 'broken',
      advice: 'start with --partitions 16',
    });
    const used = await doctor(dataDir, '--partitions', '16');
    expect(used).toMatchObject({ status: 'warning' });
    expect(used.advice).toMatch(/process \d+ uses it/);
  });

  it('of another number of partitions is refused, with the figure to use', async () => {
    const dataDir = freshDirectory();
    await (await start(dataDir, '--partitions', '16')).stop();
    const other = await serve('--data-dir', dataDir);
    expect(other.exitCode).toBe(1);
    expect(other.stderr).toMatch(/--partitions 16.*\[DATA_PARTITIONS\]/);
  });

  it('that is something else is left alone', async () => {
    const dataDir = freshDirectory();
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, 'thesis.txt'), 'years of work');
    const node = await serve('--data-dir', dataDir);
    expect(node.exitCode).toBe(1);
    expect(node.stderr).toMatch(/no data directory.*\[DATA_FORMAT\]/);
    expect(readdirSync(dataDir)).toEqual(['thesis.txt']);
  });

  it('whose log is damaged stops the node, which says where and what to do', async () => {
    const dataDir = freshDirectory();
    const node = await start(dataDir);
    const client = connect({ url: node.url });
    for (let index = 0; index < 10; index++) await client.kv.put(`key/${index}`, 'x'.repeat(50));
    await client.close();
    await node.stop();
    const wal = join(dataDir, 'worker-0', 'wal');
    const segment = join(wal, readdirSync(wal).sort()[0] ?? '');
    const bytes = readFileSync(segment);
    bytes[64 + 60] = (bytes[64 + 60] ?? 0) ^ 1;
    writeFileSync(segment, bytes);
    const again = await serve('--data-dir', dataDir);
    expect(again.exitCode).toBe(1);
    expect(again.stderr).toContain(segment);
    expect(again.stderr).toMatch(/log verify.*log repair.*\[DATA_DAMAGED\]/s);
    expect(readFileSync(segment).equals(bytes)).toBe(true);
  });

  it('is of no use without a log, and saying so beats ignoring it', async () => {
    const node = await serve('--durability', 'none', '--data-dir', freshDirectory());
    expect(node.exitCode).toBe(2);
    expect(node.stderr).toMatch(/dataDir: .*durability none.*\[CONFIG_INVALID\]/s);
  });
});
