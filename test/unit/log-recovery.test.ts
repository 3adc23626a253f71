// Recovery of segments: what crashes leave is no damage, what is damage is refused, and never is less
// given back than what later batches prove.

import {
  copyFileSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeVerification } from '../../node/cli/log-table.js';
import { DataDamage } from '../../node/log/local/data-errors.js';
import { BATCH_HEADER_BYTES, FILE_HEADER_BYTES, segmentName } from '../../node/log/local/format.js';
import { type RecoveredLog, recover } from '../../node/log/local/recovery.js';
import { verifyDirectory } from '../../node/log/local/verify.js';
import { LogError } from '../../node/log/log.js';
import { EngineError } from '../../ts/engine/engine.js';
import { RECORD_PUT } from '../../ts/engine/records.js';
import { LOG_ID, LogMaker, makeDataDirectory, RecordMaker, START_TIME } from './log-files.js';
import { MapState, stateOf } from './log-state.js';

/** Three segments: puts, touch and deletes; a mark at the end. */
function threeSegments() {
  const paths = makeDataDirectory();
  const log = new LogMaker(paths);
  const make = new RecordMaker();
  const batches = [
    [[make.put('a', '1'), make.put('b', '2')], [make.touch('a', START_TIME + 5)]],
    [[make.put('{a}c', 'long enough to matter')], [make.delete('b'), make.put('d', '4')]],
    [[make.put('b', '5')], [make.put('e', '6')], []],
  ];
  const files = batches.map((segment) => log.write(segment));
  const records = batches.flat().map((batch) => batch.flat());
  return { paths, log, make, batches: records, files, all: stateOf(records.flat()) };
}

async function recovered(paths: ReturnType<typeof makeDataDirectory>) {
  const state = new MapState();
  return { result: await recover(paths, state), state: state.state };
}

async function damageOf(paths: ReturnType<typeof makeDataDirectory>): Promise<DataDamage> {
  const before = contentOf(paths.path);
  const error = await recover(paths, new MapState()).then(
    () => new Error('was recovered'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof DataDamage)) throw error;
  expect(error.code).toBe('DATA_DAMAGED');
  expect(error.message).toContain(error.file);
  expect(error.message).toContain(`at byte ${error.offset}`);
  expect(error.message).toContain(`rondo log verify --data-dir ${paths.path}`);
  expect(error.message).toContain(`rondo log repair --data-dir ${paths.path} --from-backup`);
  expect(contentOf(paths.path)).toEqual(before);
  return error;
}

function contentOf(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true });
  return Object.fromEntries(
    files
      .filter((file) => file.isFile())
      .map(({ parentPath, name }) => {
        const path = join(parentPath, name);
        return [path, readFileSync(path, 'hex')];
      }),
  );
}

function flip(path: string, at: number, bit = 1): void {
  const bytes = readFileSync(path);
  bytes[at] = (bytes[at] ?? 0) ^ bit;
  writeFileSync(path, bytes);
}

describe('recovery', () => {
  it('of an empty directory gives the first place', async () => {
    const { result } = await recovered(makeDataDirectory());
    expect(result).toMatchObject({ epoch: 0, nextSegment: 1, sealed: [], time: 0, records: 0 });
    expect(result.chain).toEqual({ logId: LOG_ID, before: LOG_ID, next: 1 });
  });

  it('folds all segments and says where the log goes on', async () => {
    const { paths, log, make, batches, files, all } = threeSegments();
    const { result, state } = await recovered(paths);
    expect(state).toEqual(all);
    expect(result.chain).toEqual(log.chain);
    expect(result).toMatchObject({ epoch: 1, nextSegment: 4, snapshot: undefined, cut: undefined });
    expect(result.revisions).toEqual(make.revisions);
    expect(result.sealed.map(({ path }) => path)).toEqual(files);
    expect(result.sealed.map(({ lastBatch }) => lastBatch)).toEqual([2, 4, 7]);
    expect(result.sealed.at(-1)?.lastChecksum).toBe(log.chain.before);
    expect(result.records).toBe(batches.flat().length);
    expect(result.bytes).toBe(Buffer.concat(batches.flat()).length);
  });

  it('says how far it is', async () => {
    const { paths } = threeSegments();
    const seen: number[] = [];
    let total = 0;
    await recover(paths, new MapState(), {
      onProgress({ bytesDone, bytesTotal }) {
        seen.push(bytesDone);
        total = bytesTotal;
      },
    });
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen.at(-1)).toBe(total);
  });

  it('cuts a torn batch at each of its bytes, and reads over it later', async () => {
    const { paths, log, make, all } = threeSegments();
    const record = make.put('torn', 'full');
    const before = { ...log.chain };
    const whole = log.batch([record]);
    const after = { ...log.chain };
    for (let length = 0; length <= whole.length; length++) {
      Object.assign(log.chain, before);
      log.segment = 4;
      const path = log.writeBytes([whole.subarray(0, length)]);
      for (const zeros of [0, 200]) {
        if (zeros > 0) truncateSync(path, FILE_HEADER_BYTES + whole.length + zeros);
        const { result, state } = await recovered(paths);
        if (length === whole.length) {
          expect(result.chain).toEqual(after);
          continue;
        }
        expect(state, `${length} of ${whole.length} bytes`).toEqual(all);
        expect(result.chain).toEqual(before);
      }
    }
    // The same at the end of a segment that has batches; then the log goes on behind it.
    Object.assign(log.chain, before);
    log.segment = 4;
    const kept = log.batch([record]);
    const torn = log.batch([make.put('lost', 'x')]).subarray(0, 60);
    Object.assign(log.chain, after);
    const path = log.writeBytes([kept, torn, new Uint8Array(400)]);
    const { result } = await recovered(paths);
    const offset = FILE_HEADER_BYTES + kept.length;
    expect(result.cut).toEqual({ file: path, offset, bytes: BATCH_HEADER_BYTES + 48, batches: 1 });
    expect(result.nextSegment).toBe(5);
    log.epoch = 2;
    log.write([[]]);
    const { result: later } = await recovered(paths);
    expect(later).toMatchObject({ cut: undefined, epoch: 2, nextSegment: 6 });
    expect(later.chain).toEqual(log.chain);
  });

  it('meets a changed byte anywhere: all is there, or it is refused', {
    timeout: 60_000,
  }, async () => {
    const { paths, files, all, log } = threeSegments();
    let refused = 0;
    for (const [index, path] of files.entries()) {
      const whole = readFileSync(path);
      for (let at = 0; at < whole.length; at++) {
        flip(path, at, 1 << (at % 8));
        const answer = await recovered(paths).catch((error: unknown) => error as DataDamage);
        const name = `segment ${index + 1}, byte ${at}`;
        if (answer instanceof Error) {
          expect(answer, name).toBeInstanceOf(DataDamage);
          expect(answer.file, name).toBe(path);
          expect(answer.offset, name).toBeLessThanOrEqual(at);
          refused++;
        } else {
          expect(answer.state, name).toEqual(all);
          // All but the mark at the end.
          expect(answer.result.chain.next, name).toBeGreaterThanOrEqual(log.chain.next - 1);
        }
        writeFileSync(path, whole);
      }
    }
    expect(refused).toBeGreaterThan(500);
  });

  it('finds damage to the newest batch by the mark behind it, and not without', async () => {
    const { paths, files, batches } = threeSegments();
    const path = files[2] as string;
    const second = FILE_HEADER_BYTES + BATCH_HEADER_BYTES + 48;
    flip(path, second + 50);
    const damage = await damageOf(paths);
    expect(damage).toMatchObject({ file: path, offset: second });
    const mark = second + BATCH_HEADER_BYTES + 48;
    for (let at = mark; at < mark + BATCH_HEADER_BYTES; at++) flip(path, at, 0xff);
    const { state, result } = await recovered(paths);
    expect(state).toEqual(stateOf(batches.slice(0, -2).flat()));
    expect(result.cut).toMatchObject({ offset: second });
  });

  it.each([0, 1])('refuses where segment %i of three is missing', async (index) => {
    const { paths, files } = threeSegments();
    rmSync(files[index] as string);
    const damage = await damageOf(paths);
    expect(damage.expected).toContain(`segment ${index + 1}`);
  });

  it('refuses where a segment stands for another, or comes from another log', async () => {
    const first = threeSegments();
    copyFileSync(first.files[0] as string, first.files[1] as string);
    expect((await damageOf(first.paths)).file).toBe(first.files[0]);
    const second = threeSegments();
    const other = new LogMaker(makeDataDirectory(), 4, 99n);
    copyFileSync(other.write([]), join(second.paths.wal, segmentName(4)));
    expect((await damageOf(second.paths)).found).toContain('another log');
  });

  it('refuses an older epoch behind a newer one', async () => {
    const { paths, log, make } = threeSegments();
    log.epoch = 0;
    const path = log.write([[make.put('x', 'y')]]);
    expect(await damageOf(paths)).toMatchObject({ file: path, offset: 32 });
  });

  it('refuses a segment of a later version by another code', async () => {
    const { paths, log } = threeSegments();
    const path = log.write([]);
    const { xxh64 } = await import('../../node/log/local/xxh64.js');
    const bytes = readFileSync(path);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    view.setUint32(8, 2, true);
    view.setBigUint64(56, xxh64(view, 0, 56, 0n), true);
    writeFileSync(path, bytes);
    const error = await recover(paths, new MapState()).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(LogError);
    expect((error as LogError).code).toBe('DATA_FORMAT');
  });

  it('refuses records that do not go on, though their checksums are right', async () => {
    const { paths, log } = threeSegments();
    const path = log.write([[new RecordMaker().put('a', 'again')]]);
    expect(await damageOf(paths)).toMatchObject({ file: path, offset: FILE_HEADER_BYTES });
  });

  it('passes on what the engine cannot hold', async () => {
    const { paths } = threeSegments();
    const engine = new MapState();
    engine.fold = () => {
      throw new EngineError('RECORD_TOO_LARGE', 'raise it');
    };
    await expect(recover(paths, engine)).rejects.toThrow('raise it');
  });
});

describe('what a crash leaves', () => {
  const leftovers: Record<string, (made: ReturnType<typeof threeSegments>) => void> = {
    'segments made ready': ({ log }) => {
      log.write([]);
      log.write([]);
    },
    'one made ready, its header not written': ({ paths }) => {
      writeFileSync(join(paths.wal, segmentName(4)), new Uint8Array(4096));
    },
    'one made ready, still empty': ({ paths }) => {
      writeFileSync(join(paths.wal, segmentName(4)), '');
    },
    'two made ready, the first of them removed again': ({ log, paths }) => {
      log.write([]);
      log.write([]);
      rmSync(join(paths.wal, segmentName(4)));
    },
    'one to be used again, with its old header and batches': ({ paths, files }) => {
      copyFileSync(files[0] as string, join(paths.wal, segmentName(4)));
    },
    'one used again, with old batches behind the new header': ({ paths, files, log }) => {
      const bytes = readFileSync(files[1] as string);
      bytes.set(log.header(4), 0);
      writeFileSync(join(paths.wal, segmentName(4)), bytes);
    },
    'one made ready by an opening before': ({ log }) => {
      log.epoch = 5;
      log.write([]);
      log.epoch = 2;
      log.write([]);
    },
    'temporary files': ({ paths }) => {
      writeFileSync(join(paths.wal, `${segmentName(4)}.tmp`), 'x');
      writeFileSync(join(paths.snapshot, '0000000000000001.snap.tmp'), 'x');
      writeFileSync(join(paths.wal, 'README.txt'), 'not ours');
    },
  };

  it.each(Object.keys(leftovers))('%s', async (name) => {
    const made = threeSegments();
    leftovers[name]?.(made);
    const { result, state } = await recovered(made.paths);
    expect(state).toEqual(made.all);
    const newest = Math.max(3, ...result.unused.map(({ number }) => number));
    expect(result).toMatchObject({ nextSegment: newest + 1, cut: undefined });
    expect(result.sealed).toHaveLength(3);
    const names = readdirSync(made.paths.wal);
    expect(result.unused.map(({ path }) => path)).toEqual(
      names
        .filter((file) => file > segmentName(3) && file.endsWith('.seg'))
        .map((file) => join(made.paths.wal, file)),
    );
    expect(names.filter((file) => file.endsWith('.tmp'))).toEqual([]);
    expect(result.epoch).toBe(name.includes('opening before') ? 5 : 1);
  });

  it('segments that were not used, before one that was', async () => {
    const { paths, log, make, batches } = threeSegments();
    log.write([]);
    const bare = log.write([]);
    writeFileSync(bare, new Uint8Array(512));
    log.epoch = 2;
    const record = make.put('new', 'x');
    log.segment = 8;
    log.write([[record]]);
    const { result, state } = await recovered(paths);
    expect(state).toEqual(stateOf([...batches.flat(), record]));
    expect(result.sealed.map(({ number }) => number)).toEqual([1, 2, 3, 4, 8]);
    expect(result.unused.map(({ path }) => path)).toEqual([bare]);
    expect(result).toMatchObject({ epoch: 2, nextSegment: 9 });
  });

  it('old batches behind the newest one, also where they are cut through', async () => {
    const { paths, log, make, batches } = threeSegments();
    const old = readFileSync(join(paths.wal, segmentName(2))).subarray(FILE_HEADER_BYTES);
    const record = make.put('new', 'x');
    const batch = log.batch([record]);
    for (const from of [0, 8, batch.length, 24]) {
      log.segment = 4;
      log.writeBytes([batch, old.subarray(from)]);
      const { result, state } = await recovered(paths);
      expect(state).toEqual(stateOf([...batches.flat(), record]));
      expect(result.cut).toBeUndefined();
    }
  });

  it('is not what batches in a file without a header are', async () => {
    const { paths, log, make } = threeSegments();
    const path = log.write([[make.put('x', 'y')]]);
    flip(path, 3);
    expect(await damageOf(paths)).toMatchObject({ file: path, offset: 0 });
  });

  it('is not a header lost in the middle, nor a swapped pair', async () => {
    const { paths, files } = threeSegments();
    const [first, second] = files as [string, string];
    const whole = readFileSync(first);
    flip(first, 60);
    expect((await damageOf(paths)).file).toBe(first);
    writeFileSync(first, whole);
    renameSync(second, `${second}.x`);
    renameSync(files[2] as string, second);
    renameSync(`${second}.x`, files[2] as string);
    await damageOf(paths);
  });

  it('is told apart by the log id: values that look like batches are no batches', async () => {
    const { paths, log, make } = threeSegments();
    const before = { ...log.chain };
    const planted = new LogMaker(paths, 4, 1n);
    Object.assign(planted.chain, { before: before.before, next: before.next + 1 });
    const value = planted.batch([make.put('planted', 'x')]);
    make.revisions.fill(0);
    const torn = log.batch([make.put('k', value)]);
    log.writeBytes([torn.subarray(0, torn.length - 8), new Uint8Array(64)]);
    const { result }: { result: RecoveredLog } = await recovered(paths);
    expect(result.chain).toEqual(before);
  });

  /** A value that holds the headers of more long batches than a search hashes. */
  function manyPlanted({ chain }: LogMaker): Uint8Array {
    const header = new DataView(new ArrayBuffer(64));
    header.setBigUint64(16, BigInt(chain.next + 9), true);
    header.setBigUint64(24, BigInt(chain.next + 8), true);
    header.setUint32(40, 4096 - BATCH_HEADER_BYTES, true);
    header.setUint32(44, 1, true);
    header.setUint32(52, 1 | (RECORD_PUT << 16), true);
    return Buffer.concat(Array(512).fill(new Uint8Array(header.buffer)));
  }

  it('is damage by what a mark proves, whatever values before it look like', async () => {
    const { paths, log, make } = threeSegments();
    const damaged = log.batch([make.put('8 bytes.', manyPlanted(log))]);
    damaged[0] = (damaged[0] as number) ^ 1;
    const file = log.writeBytes([damaged, log.batch([]), new Uint8Array(4096)]);
    expect(await damageOf(paths)).toMatchObject({ file, offset: FILE_HEADER_BYTES });
  });

  it('is said to be undecided where values hide whether more was durable', async () => {
    const { paths, log, make } = threeSegments();
    const newest = log.chain.next - 1;
    const damaged = log.batch([make.put('8 bytes.', manyPlanted(log))]);
    damaged[0] = (damaged[0] as number) ^ 1;
    const later = log.batch([make.put('later', new Uint8Array(1024))]);
    const file = log.writeBytes([damaged, later, new Uint8Array(4096)]);
    const { result } = await recovered(paths);
    expect(result.chain.next).toBe(newest + 1);
    expect(result.undecided?.file).toBe(file);
    // Whoever looks into the directory is told as well.
    const verification = await verifyDirectory(paths.path);
    expect(verification.undecided).toEqual(result.undecided);
    expect(describeVerification(verification).join('\n')).toMatch(/UNDECIDED.*from byte \d+ on/);
  });
});
