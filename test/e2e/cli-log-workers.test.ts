// `rondo log`, `backup`, `restore` and `doctor` on the logs of several workers, as processes.

import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { everyKind } from '../unit/log-every-kind.js';
import { DIST, PARTITIONS, RecordMaker, temporaryFolder } from '../unit/log-files.js';
import { append, prepare, wholeState } from '../unit/log-workers.js';

const MAIN = join(DIST, 'node/main.js');

function rondo(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...words], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

async function twoLogs() {
  const path = join(temporaryFolder(), 'data');
  const make = new RecordMaker();
  const records = everyKind(make);
  await append(await prepare(path, 2), [records.slice(0, 4), records.slice(4)]);
  return { path, records };
}

describe('the tools of the log, with several workers', () => {
  it('show each of its logs', async () => {
    const { path, records } = await twoLogs();
    const info = rondo('log', 'info', '--data-dir', path);
    expect(info.stdout).toContain(`${PARTITIONS} partitions, 2 workers, generation 1`);
    expect(info.stdout).toMatch(/\nworker 1: worker-1\.1, 2 partitions, 0 snapshots, 1 segments/);
    const facts = JSON.parse(rondo('log', 'info', '--data-dir', path, '--json').stdout);
    expect(facts).toMatchObject({ generation: 1, workers: 2, openIn: null, owners: [0, 1, 1, 0] });
    expect(facts.logs).toHaveLength(2);

    const verified = rondo('log', 'verify', '--data-dir', path);
    expect(verified.status).toBe(0);
    expect(verified.stdout).toContain('Whole. Batches of 2 workers up to 2, 2');

    const partitionsOf = (...words: string[]) =>
      rondo('log', 'dump', '--data-dir', path, '--json', ...words)
        .stdout.trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as { type: string; partition: number })
        .filter(({ type }) => type === 'record')
        .map(({ partition }) => partition);
    const [first, second] = [partitionsOf('--worker', '0'), partitionsOf('--worker', '1')];
    expect(first.length).toBeGreaterThan(0);
    expect(first.filter((partition) => ![0, 3].includes(partition))).toEqual([]);
    expect(second.filter((partition) => ![1, 2].includes(partition))).toEqual([]);
    expect(first.length + second.length).toBe(records.length);
    expect(partitionsOf()).toEqual([...first, ...second]);
    expect(partitionsOf('--to', '1').length).toBe(4);
    const none = rondo('log', 'dump', '--data-dir', path, '--worker', '2');
    expect(none).toMatchObject({ status: 1 });
    expect(none.stderr).toContain('workers 0 to 1');
  });

  it('copy them there and back, and see that one is missing', async () => {
    const { path } = await twoLogs();
    const folder = temporaryFolder();
    const [backup, data] = [join(folder, 'backup'), join(folder, 'data')];
    expect(rondo('backup', backup, '--data-dir', path).status).toBe(0);
    expect(rondo('restore', backup, '--data-dir', data).status).toBe(0);
    expect(await wholeState(data)).toEqual(await wholeState(path));
    const doctor = () => {
      const flags = ['--data-dir', data, '--partitions', String(PARTITIONS), '--json'];
      const { findings } = JSON.parse(rondo('doctor', ...flags).stdout);
      return findings.find(({ name }: { name: string }) => name === 'data');
    };
    expect(doctor().found).toContain('data of a node of 2 workers');
    rmSync(join(data, 'WORKERS'));
    expect(doctor()).toMatchObject({ status: 'broken' });
  });
});
