// `rondo log`, `rondo backup` and `rondo restore` as processes: what they print, and how they end.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { snapshotName } from '../../node/log/local/format.js';
import { DIST, temporaryFolder } from '../unit/log-files.js';
import { LiveLog } from '../unit/log-live.js';

const MAIN = join(DIST, 'node/main.js');

function rondo(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...words], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

/** Segment 1 folded into a snapshot, batches in segments 2 and 3. */
function someLog(): LiveLog {
  const log = new LiveLog(768);
  while (log.pathOf(2) !== log.activePath) log.append(2);
  log.compact();
  while (log.pathOf(3) !== log.activePath) log.append(2);
  log.mark();
  log.close();
  return log;
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

interface Line {
  readonly type: string;
  readonly [name: string]: unknown;
}

function jsonLines(text: string): Line[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

describe('rondo log verify', () => {
  it('prints a table and a verdict, and says it with its exit code', () => {
    const log = someLog();
    const whole = rondo('log', 'verify', '--data-dir', log.paths.path);
    expect(whole).toMatchObject({ status: 0, stderr: '' });
    expect(whole.stdout).toMatch(/^file +kind +batches +records +bytes +numbers +state\n/);
    expect(whole.stdout).toContain(`Whole. Batches up to ${log.newest}`);
    flip(log.pathOf(2), 300);
    const damaged = rondo('log', 'verify', '--data-dir', log.paths.path);
    expect(damaged.status).toBe(1);
    expect(damaged.stdout).toContain('DAMAGED at byte 240: expected batch');
    const json = rondo('log', 'verify', '--data-dir', log.paths.path, '--json');
    const [found] = jsonLines(json.stdout) as unknown as [{ whole: boolean; files: unknown[] }];
    expect(found.whole).toBe(false);
    expect(found.files).toHaveLength(3);
  });

  it('tells what is no data directory', () => {
    const { status, stderr } = rondo('log', 'verify', '--data-dir', '/nonexistent', '--json');
    expect(status).toBe(1);
    expect(JSON.parse(stderr)).toMatchObject({ event: 'error', code: 'DATA_FORMAT' });
  });
});

describe('rondo log dump', () => {
  it('prints the snapshot and the segments behind it', () => {
    const log = someLog();
    const lines = jsonLines(rondo('log', 'dump', '--data-dir', log.paths.path, '--json').stdout);
    const segments = lines.filter(({ type, kind }) => type === 'file' && kind === 'segment');
    expect(segments.map(({ segment }) => segment)).toEqual([2, 3]);
    const records = lines.filter(({ type }) => type === 'record');
    const newest = Object.fromEntries(records.map(({ key, value }) => [key, value]));
    const { entries } = log.stateAt(log.newest);
    expect(newest).toEqual(Object.fromEntries(entries.map(([key, { value }]) => [key, value])));
    expect(lines.at(-1)).toMatchObject({ type: 'end', end: 'end' });
    expect(lines.at(-2)).toMatchObject({ type: 'batch', batch: log.newest, records: 0 });
  });

  it('takes a range, a prefix and a bound', () => {
    const { paths } = someLog();
    const dump = (...words: string[]) =>
      jsonLines(rondo('log', 'dump', '--data-dir', paths.path, '--json', ...words).stdout);
    const range = dump('--from', '6', '--to', '7').filter(({ type }) => type === 'batch');
    expect(range.map(({ batch }) => batch)).toEqual([6, 7]);
    const keyed = dump('--key', 'key-4', '--keys-only').filter(({ type }) => type === 'record');
    expect(keyed.length).toBeGreaterThan(0);
    expect(keyed.every(({ key, value }) => key === 'key-4' && value === undefined)).toBe(true);
    expect(dump('--limit', '3').filter(({ type }) => type === 'record')).toHaveLength(3);
  });

  it('reads a damaged file as far as it goes', () => {
    const log = someLog();
    flip(log.pathOf(2), 300);
    const { status, stdout } = rondo('log', 'dump', '--file', log.pathOf(2));
    expect(status).toBe(0);
    expect(stdout).toContain('stops at byte 240');
    expect(stdout).toContain('stands whole at byte 416');
    flip(log.pathOf(2), 3);
    expect(rondo('log', 'dump', '--file', log.pathOf(2)).stdout).toContain('cannot be read');
    const snapshot = join(log.paths.snapshot, snapshotName(1));
    flip(snapshot, 200);
    expect(rondo('log', 'dump', '--file', snapshot).stdout).toContain('stops at byte 144');
  });

  it('shows bytes that are no text as such, and cuts what is long', () => {
    const log = new LiveLog();
    const { make } = log;
    log.appendBatch([
      make.put('long', 'x'.repeat(500)),
      make.put('bytes', new Uint8Array([0xff, 0])),
      make.put('escape', '\u001b[2J'),
      make.touch('long', 1_900_000_000_000),
    ]);
    const dump = (...words: string[]) =>
      rondo('log', 'dump', '--data-dir', log.paths.path, ...words).stdout;
    const text = dump();
    expect(text).toContain('… (500 bytes)');
    expect(text).toContain('bytes  = 0xff00');
    expect(text).toContain('escape  = 0x1b5b324a');
    expect(text).toContain('long  expires 2030-03-17T17:46:40.000Z');
    expect(dump('--full')).toContain('x'.repeat(500));
    expect(dump('--json')).toContain('"valueBase64":"/wA="');
  });

  it('ends quietly when nobody reads on', () => {
    const log = new LiveLog(1 << 20);
    for (let batch = 0; batch < 500; batch++) log.append(10, 10, 80);
    const command = `"${process.execPath}" "${MAIN}" log dump --data-dir "${log.paths.path}"; echo "exit $?" >&2`;
    const { stdout, stderr } = spawnSync('sh', ['-c', `{ ${command}; } | head -1`], {
      encoding: 'utf8',
    });
    expect(stdout.split('\n')).toHaveLength(2);
    expect(stderr).toBe('exit 0\n');
  });
});

describe('rondo backup and rondo restore', () => {
  it('copy a log there and back', () => {
    const log = someLog();
    const folder = temporaryFolder();
    const [backup, data] = [join(folder, 'backup'), join(folder, 'data')];
    const made = rondo('backup', backup, '--data-dir', log.paths.path);
    expect(made).toMatchObject({ status: 0, stderr: '' });
    expect(made.stdout).toMatch(
      /backup: \d+ batches, \d+ records, .*B; the newest of .*Verified\.\n/,
    );
    const again = rondo('backup', backup, '--data-dir', log.paths.path, '--json');
    expect(again.status).toBe(1);
    expect(JSON.parse(again.stderr)).toMatchObject({ code: 'DATA_NOT_EMPTY' });
    const restored = rondo('restore', backup, '--data-dir', data, '--json');
    expect(JSON.parse(restored.stdout)).toMatchObject({ path: data, batches: log.newest });
    expect(rondo('restore', backup, '--data-dir', data).stderr).toContain('[DATA_NOT_EMPTY]');
    expect(rondo('log', 'verify', '--data-dir', data).status).toBe(0);
  });
});

describe('rondo log repair', () => {
  it('says what it would do, does it, and leaves a whole log', () => {
    const log = someLog();
    const backup = join(temporaryFolder(), 'backup');
    rondo('backup', backup, '--data-dir', log.paths.path);
    flip(log.pathOf(2), 300);
    const words = ['log', 'repair', '--data-dir', log.paths.path, '--from-backup', backup];
    const planned = rondo(...words, '--dry-run');
    expect(planned).toMatchObject({ status: 0, stderr: '' });
    expect(planned.stdout).toContain(
      '0000000000000002.seg: rebuild of 3 batches that are whole and 1',
    );
    expect(planned.stdout).toContain('Nothing was changed.');
    expect(rondo('log', 'verify', '--data-dir', log.paths.path).status).toBe(1);
    const mended = rondo(...words);
    expect(mended).toMatchObject({ status: 0, stderr: '' });
    expect(mended.stdout).toContain('Damaged files are kept in');
    expect(mended.stdout).toContain(`Whole. Batches up to ${log.newest}`);
    expect(rondo(...words).stdout).toBe('Nothing is damaged. Nothing was changed.\n');
  });

  it('refuses to lose anything unless told to', () => {
    const log = someLog();
    const backup = join(temporaryFolder(), 'backup');
    rondo('backup', backup, '--data-dir', log.paths.path);
    for (const folder of [log.paths.path, backup]) {
      flip(log.pathOf(2).replace(log.paths.path, folder), 300);
    }
    const words = ['log', 'repair', '--data-dir', log.paths.path, '--from-backup', backup];
    expect(rondo(...words, '--dry-run')).toMatchObject({ status: 1 });
    const refused = rondo(...words, '--json');
    expect(refused.status).toBe(1);
    expect(JSON.parse(refused.stderr)).toMatchObject({ code: 'REPAIR_LOSES' });
    const accepted = rondo(...words, '--accept-loss', '--json');
    expect(accepted.status).toBe(0);
    expect(JSON.parse(accepted.stdout)).toMatchObject({ verification: { whole: true } });
  });
});
