// The data directory and its lock: what is refused, what a crash leaves, and that of several starters
// one wins.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openDataDirectory, readDataFormat } from '../../node/log/local/data-directory.js';
import { LockFile, lockedBy } from '../../node/log/local/lock-file.js';
import { LogError } from '../../node/log/log.js';
import { findAddon } from './log-addon.js';
import { DIST, temporaryFolder } from './log-files.js';

const addon = findAddon();

function refusalOf(step: () => unknown): LogError {
  try {
    step();
  } catch (error) {
    if (error instanceof LogError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

describe('the data directory', () => {
  it('is made once and opened again', () => {
    const path = join(temporaryFolder(), 'a', 'b');
    const made = openDataDirectory(path, { partitions: 64 });
    expect(made.isNew).toBe(true);
    expect(made.logId).not.toBe(0n);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(readFileSync(join(path, 'FORMAT'), 'utf8')).toMatch(
      /^rondo-data 1\npartitions 64\nid [0-9a-f]{16}\n$/,
    );
    made.close();
    const again = openDataDirectory(path, { partitions: 64 });
    expect(again).toMatchObject({ isNew: false, logId: made.logId, partitions: 64 });
    expect(readDataFormat(path).logId).toBe(made.logId);
    again.close();
    expect(readdirSync(path).sort()).toEqual(['FORMAT', 'worker-0']);
  });

  it('refuses another number of partitions and says both', () => {
    const path = temporaryFolder();
    openDataDirectory(path, { partitions: 64 }).close();
    const error = refusalOf(() => openDataDirectory(path, { partitions: 8 }));
    expect(error.code).toBe('DATA_PARTITIONS');
    expect(error.message).toContain('made for 64 partitions, and 8');
    expect(error.message).toContain('--partitions 64');
    expect(existsSync(join(path, 'LOCK'))).toBe(false);
  });

  it('refuses another version, and text that says nothing', () => {
    const path = temporaryFolder();
    openDataDirectory(path, { partitions: 64 }).close();
    for (const text of ['rondo-data 2\nanything', 'partitions 64\n', '', 'rondo-data 1\n']) {
      writeFileSync(join(path, 'FORMAT'), text);
      expect(refusalOf(() => openDataDirectory(path, { partitions: 64 })).code).toBe('DATA_FORMAT');
    }
  });

  it('never writes into a folder of something else', () => {
    const path = temporaryFolder();
    writeFileSync(join(path, 'thesis.txt'), 'text');
    expect(refusalOf(() => openDataDirectory(path, { partitions: 64 })).code).toBe('DATA_FORMAT');
    expect(readdirSync(path)).toEqual(['thesis.txt']);
  });

  it('refuses segments without a FORMAT, and a FORMAT without folders', () => {
    const path = temporaryFolder();
    mkdirSync(join(path, 'worker-0', 'wal'), { recursive: true });
    writeFileSync(join(path, 'worker-0', 'wal', '0000000000000001.seg'), '');
    expect(refusalOf(() => openDataDirectory(path, { partitions: 64 })).code).toBe('DATA_FORMAT');
    const other = temporaryFolder();
    writeFileSync(join(other, 'FORMAT'), 'rondo-data 1\npartitions 64\nid 00000000000000ff\n');
    expect(refusalOf(() => openDataDirectory(other, { partitions: 64 })).code).toBe('DATA_DAMAGED');
  });

  it('goes on where a start was cut short', () => {
    const path = temporaryFolder();
    mkdirSync(join(path, 'lost+found'));
    mkdirSync(join(path, 'worker-0', 'wal'), { recursive: true });
    writeFileSync(join(path, 'FORMAT.tmp'), 'rondo-da');
    writeFileSync(join(path, 'LOCK'), '');
    writeFileSync(join(path, 'LOCK.0123456789abcdef.tmp'), 'pid 999999999\n');
    const directory = openDataDirectory(path, { partitions: 64 });
    expect(readdirSync(path).sort()).toEqual(['FORMAT', 'LOCK', 'lost+found', 'worker-0']);
    directory.close();
  });

  it('says what cannot be opened', () => {
    const path = join(temporaryFolder(), 'file');
    writeFileSync(path, '');
    const error = refusalOf(() => openDataDirectory(path, { partitions: 64 }));
    expect(error.code).toBe('DATA_UNREADABLE');
    expect(error.cause).toBeDefined();
  });
});

/** A process that opens the directory, says so, and holds it until its input ends. */
function starter(path: string): ChildProcess {
  const module = pathToFileURL(`${DIST}node/log/local/data-directory.js`).href;
  const program = `
    import { openDataDirectory } from ${JSON.stringify(module)};
    process.stdin.once('data', () => {
      let directory;
      try {
        directory = openDataDirectory(${JSON.stringify(path)}, { partitions: 64 });
        console.log('open');
      } catch (error) {
        console.log(error.code ?? error.message);
      }
      process.stdin.on('end', () => directory?.close());
    });
    console.log('ready');
  `;
  return spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
}

function linesOf(child: ChildProcess): AsyncIterator<string> {
  return createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
}

async function opened(path: string): Promise<ChildProcess> {
  const child = starter(path);
  const lines = linesOf(child);
  child.stdin?.write('go\n');
  expect((await lines.next()).value).toBe('ready');
  expect((await lines.next()).value).toBe('open');
  return child;
}

describe('the lock', () => {
  it('refuses a second process and names the first', async () => {
    const path = temporaryFolder();
    const owner = await opened(path);
    const error = refusalOf(() => openDataDirectory(path, { partitions: 64 }));
    expect(error.code).toBe('DATA_LOCKED');
    expect(error.message).toContain(`process ${owner.pid}`);
    expect(lockedBy(path)).toBe(owner.pid);
    owner.stdin?.end();
    await once(owner, 'exit');
    openDataDirectory(path, { partitions: 64 }).close();
  });

  it('refuses a second opening in one process', () => {
    const path = temporaryFolder();
    const lock = LockFile.acquire(path);
    expect(refusalOf(() => LockFile.acquire(path)).code).toBe('DATA_LOCKED');
    lock.release();
    LockFile.acquire(path).release();
    expect(readdirSync(path)).toEqual([]);
  });

  it.skipIf(addon === undefined)('holds by flock where the owner cannot be seen', () => {
    const path = temporaryFolder();
    const lock = LockFile.acquire(path, addon?.flock);
    // As from a container, where the pid is nobody's.
    const text = readFileSync(join(path, 'LOCK'), 'utf8');
    writeFileSync(join(path, 'LOCK'), text.replace(/pid \d+/, 'pid 999999999'));
    expect(lockedBy(path)).toBeUndefined();
    expect(refusalOf(() => LockFile.acquire(path, addon?.flock)).code).toBe('DATA_LOCKED');
    lock.release();
    LockFile.acquire(path, addon?.flock).release();
  });

  it('is taken over from a process that was killed', async () => {
    const path = temporaryFolder();
    const owner = await opened(path);
    owner.kill('SIGKILL');
    await once(owner, 'exit');
    expect(existsSync(join(path, 'LOCK'))).toBe(true);
    expect(lockedBy(path)).toBeUndefined();
    openDataDirectory(path, { partitions: 64 }).close();
  });

  it('is taken over where the pid is another process by now, or the machine was started again', () => {
    const path = temporaryFolder();
    const lock = LockFile.acquire(path);
    const text = readFileSync(join(path, 'LOCK'), 'utf8');
    lock.release();
    const others = [
      text.replace(/start \d+/, 'start 1'),
      text.replace(/boot .*/, 'boot 00000000-0000-0000-0000-000000000000'),
    ];
    for (const other of process.platform === 'linux' ? others : others.slice(1)) {
      writeFileSync(join(path, 'LOCK'), other);
      LockFile.acquire(path).release();
    }
    writeFileSync(join(path, 'LOCK'), text);
    expect(refusalOf(() => LockFile.acquire(path)).code).toBe('DATA_LOCKED');
  });

  it.skipIf(process.platform !== 'linux')(
    'is held by an owner in another pid namespace, unless it was held by flock too',
    () => {
      const path = temporaryFolder();
      const lock = LockFile.acquire(path);
      const text = readFileSync(join(path, 'LOCK'), 'utf8');
      lock.release();
      // As of a container of this machine: its pids say nothing here.
      const elsewhere = text
        .replace(/pid \d+/, 'pid 999999999')
        .replace(/namespace .*/, 'namespace pid:[1]');
      writeFileSync(join(path, 'LOCK'), elsewhere);
      expect(lockedBy(path)).toBe(999999999);
      for (const flock of [undefined, addon?.flock]) {
        const error = refusalOf(() => LockFile.acquire(path, flock));
        expect(error.code).toBe('DATA_LOCKED');
        expect(error.message).toContain(`remove ${join(path, 'LOCK')}`);
      }
      // One that held the flock is gone where this process can take that.
      writeFileSync(join(path, 'LOCK'), elsewhere.replace('flock no', 'flock yes'));
      expect(refusalOf(() => LockFile.acquire(path)).code).toBe('DATA_LOCKED');
      if (addon !== undefined) LockFile.acquire(path, addon.flock).release();
    },
  );

  it('is taken over where a taker was killed half way', () => {
    const path = temporaryFolder();
    const gone = (token: string) =>
      `pid 999999999\nstart 1\nboot 1\nnamespace \nflock no\ntoken ${token}\n`;
    writeFileSync(join(path, 'LOCK'), gone('aa'));
    writeFileSync(join(path, 'LOCK.aa.next'), gone('bb'));
    writeFileSync(join(path, 'LOCK.bb.tmp'), gone('bb'));
    const lock = LockFile.acquire(path);
    expect(readdirSync(path)).toEqual(['LOCK']);
    expect(lockedBy(path)).toBe(process.pid);
    lock.release();
  });

  it('is won by one of ten that start at once', { timeout: 60_000 }, async () => {
    const path = temporaryFolder();
    const first = starter(path);
    first.stdin?.write('go\n');
    const lines = linesOf(first);
    await lines.next();
    await lines.next();
    first.kill('SIGKILL'); // Its lock stays, for ten to take over.
    await once(first, 'exit');

    const starters = Array.from({ length: 10 }, () => starter(path));
    const outputs = starters.map(linesOf);
    for (const output of outputs) expect((await output.next()).value).toBe('ready');
    for (const { stdin } of starters) stdin?.write('go\n');
    const answers = await Promise.all(outputs.map(async (output) => (await output.next()).value));
    expect(answers.sort()).toEqual([...Array(9).fill('DATA_LOCKED'), 'open']);
    for (const child of starters) child.stdin?.end();
    await Promise.all(starters.map((child) => child.exitCode ?? once(child, 'exit')));
    expect(readdirSync(path).sort()).toEqual(['FORMAT', 'worker-0']);
  });
});
