// Key-value operations as callers write them: what each puts on the wire, what arguments are refused
// before anything is sent, and the loops built on them (update, scan, many).

import { describe, expect, it } from 'vitest';
import { bytes, REMOVE, type Rondo, type TextCodec, text } from '../../ts/client/index.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import {
  CONDITION_IF_ABSENT,
  CONDITION_IF_REVISION,
  FLAG_ENTRY,
  FLAG_KEYS_ONLY,
  FLAG_MORE,
  TTL_KEEP,
  TTL_SET,
} from '../../ts/wire/layout.js';
import { Status } from '../../ts/wire/status.js';
import { client, failure, scriptedNode, verdict } from './client-harness.js';
import type { ScriptedNode, SentOperation } from './client-scripted-node.js';

async function pair(): Promise<[ScriptedNode, Rondo]> {
  const node = await scriptedNode();
  return [node, client(node.url)];
}

/** A node that keeps values in a map, with revisions; enough for update. */
function store(node: ScriptedNode): Map<string, { value: Uint8Array; revision: number }> {
  const map = new Map<string, { value: Uint8Array; revision: number }>();
  let revision = 0;
  node.script = (peer, operations) =>
    peer.reply((writer) => {
      for (const { id, code, flags, key, value, expectedRevision } of operations) {
        const now = map.get(key);
        const isWanted =
          (flags & 3) === 0 ||
          ((flags & 3) === CONDITION_IF_ABSENT && now === undefined) ||
          ((flags & 3) === CONDITION_IF_REVISION && (now?.revision ?? 0) === expectedRevision);
        if (code === OperationCode.Get && now !== undefined) {
          writer.resultWithValue(id, now.value, now.revision, 0);
        } else if (code !== OperationCode.Put && now === undefined) {
          writer.result(id, Status.NotFound, 0, 0);
        } else if (!isWanted) {
          const status = (flags & 3) === 1 ? Status.AlreadyExists : Status.RevisionMismatch;
          writer.result(id, status, now?.revision ?? 0, 0);
        } else {
          revision++;
          if (code === OperationCode.Put) map.set(key, { value: value.slice(), revision });
          else map.delete(key);
          writer.result(id, Status.Ok, revision, 0);
        }
      }
    });
  return map;
}

describe('operations', () => {
  it('go out with their code, flags and fields', async () => {
    const [node, rondo] = await pair();
    const { kv } = rondo;
    node.script = (peer, operations) =>
      peer.reply((writer) => {
        for (const { id } of operations) writer.resultWithValue(id, Buffer.from('4'), 8, 250);
      });
    const results = await Promise.all([
      kv.get('k'),
      kv.entry('k'),
      kv.put('k', { a: 1 }),
      kv.put('k', 1, { ifAbsent: true, ttlMs: 9 }),
      kv.put('k', 1, { ifRevision: 2 ** 53 - 1, keepTtl: true }),
      kv.delete('k'),
      kv.delete('k', { ifRevision: 5 }),
      kv.increment('k'),
      kv.increment('k', -2),
      kv.increment('k', -(2n ** 63n), { ttlMs: 7 }),
      kv.touch('k', { ttlMs: 11 }),
      kv.touch('k', { persist: true }),
    ]);
    expect(results).toEqual([
      4,
      { key: 'k', value: 4, revision: 8, ttlMs: 250 },
      { revision: 8 },
      { revision: 8 },
      { revision: 8 },
      true,
      true,
      4n,
      4n,
      4n,
      { revision: 8 },
      { revision: 8 },
    ]);
    const sent = node.operations.map(({ code, flags, ttlMs, expectedRevision, limit, value }) => {
      const tail =
        code === OperationCode.Increment ? new DataView(value.slice().buffer) : undefined;
      return [
        OperationCode[code],
        flags,
        ttlMs,
        expectedRevision,
        limit,
        tail?.getBigInt64(0, true) ?? Buffer.from(value).toString(),
      ];
    });
    expect(sent).toEqual([
      ['Get', 0, 0, 0, 0, ''],
      ['Get', 0, 0, 0, 0, ''],
      ['Put', 0, 0, 0, 0, '{"a":1}'],
      ['Put', CONDITION_IF_ABSENT | TTL_SET, 9, 0, 0, '1'],
      ['Put', CONDITION_IF_REVISION | TTL_KEEP, 0, 2 ** 53 - 1, 0, '1'],
      ['Delete', 0, 0, 0, 0, ''],
      ['Delete', CONDITION_IF_REVISION, 0, 5, 0, ''],
      ['Increment', TTL_KEEP, 0, 0, 0, 1n],
      ['Increment', TTL_KEEP, 0, 0, 0, -2n],
      ['Increment', TTL_SET, 7, 0, 0, -(2n ** 63n)],
      ['Touch', TTL_SET, 11, 0, 0, ''],
      ['Touch', 0, 0, 0, 0, ''],
    ]);
  });

  it('tell an absent key by undefined or false', async () => {
    const [node, rondo] = await pair();
    node.script = (peer, operations) => peer.status(operations, Status.NotFound);
    expect(await rondo.kv.get('k')).toBeUndefined();
    expect(await rondo.kv.entry('k')).toBeUndefined();
    expect(await rondo.kv.delete('k')).toBe(false);
    expect(await rondo.kv.touch('k', { ttlMs: 1 })).toBeUndefined();
  });

  it('refuse bad arguments before anything is sent', async () => {
    const [node, rondo] = await pair();
    const { kv } = rondo;
    const refused: [string, Promise<unknown>][] = [
      ['INVALID_KEY', kv.get('')],
      ['INVALID_KEY', kv.get(5 as unknown as string)],
      ['INVALID_KEY', kv.put('half \ud83c pair', 1)],
      ['INVALID_KEY', kv.delete('\udf89')],
      ['KEY_TOO_LONG', kv.get('x'.repeat(1025))],
      ['KEY_TOO_LONG', kv.get('ü'.repeat(513))],
      ['INVALID_ARGUMENT', kv.put('k', undefined)],
      ['CODEC_FAILED', kv.put('k', 5n)],
      ['INVALID_ARGUMENT', kv.as(text).put('k', 5 as unknown as string)],
      // It was stored as another text, without a word.
      ['INVALID_ARGUMENT', kv.as(text).put('k', 'half \ud83c pair')],
      ['INVALID_ARGUMENT', kv.as(bytes).put('k', 'x' as unknown as Uint8Array)],
      ['INVALID_ARGUMENT', kv.put('k', 1, { ifAbsent: true, ifRevision: 1 })],
      ['INVALID_ARGUMENT', kv.put('k', 1, { keepTtl: true, ttlMs: 1 })],
      ['INVALID_ARGUMENT', kv.put('k', 1, { ttlMs: 0 })],
      ['INVALID_ARGUMENT', kv.put('k', 1, { ttlMs: 1.5 })],
      ['INVALID_ARGUMENT', kv.put('k', 1, { ttlMs: 400_000_000_000 })],
      ['INVALID_ARGUMENT', kv.put('k', 1, { ifRevision: -1 })],
      ['INVALID_ARGUMENT', kv.put('k', 1, { ifRevision: 2 ** 53 })],
      ['INVALID_ARGUMENT', kv.delete('k', { ifRevision: 0.5 })],
      ['INVALID_ARGUMENT', kv.increment('k', 1.5)],
      ['INVALID_ARGUMENT', kv.increment('k', 2 ** 53)],
      ['INVALID_ARGUMENT', kv.increment('k', 2n ** 63n)],
      ['INVALID_ARGUMENT', kv.touch('k', {})],
      ['INVALID_ARGUMENT', kv.touch('k', { ttlMs: 1, persist: true })],
      ['INVALID_ARGUMENT', kv.scanPage('', { limit: 0 })],
      ['INVALID_ARGUMENT', kv.scanPage('', { limit: 10_001 })],
      ['INVALID_ARGUMENT', kv.scanPage('', { cursor: new Uint8Array(1025) })],
      ['INVALID_KEY', kv.scanPage('\ud800')],
      ['INVALID_ARGUMENT', kv.update('k', () => 1, { attempts: 0 })],
    ];
    for (const [code, call] of refused) {
      expect(await verdict(call)).toEqual({ code, retryable: false, maybeApplied: false });
    }
    expect(node.operations).toHaveLength(0);
    expect(await kv.get('ü'.repeat(512))).toBeDefined();
  });

  it('refuse a value above the node’s limit, by its bytes, before it is sent', async () => {
    const [node, rondo] = await pair();
    node.limits.valueBytesMax = 3000;
    const strings = rondo.kv.as(text);
    const puts = [
      strings.put('ascii at the limit', 'x'.repeat(3000)),
      strings.put('short, three bytes each', '€'.repeat(1000)),
    ];
    const large = [
      strings.put('one more', 'x'.repeat(3001)),
      strings.put('short, three bytes each, one more', '€'.repeat(1001)),
      rondo.kv.as(bytes).put('bytes', new Uint8Array(3001)),
    ];
    for (const call of large)
      expect(await verdict(call)).toMatchObject({ code: 'VALUE_TOO_LARGE' });
    await Promise.all(puts);
    expect(node.operations.map(({ value }) => value.length)).toEqual([3000, 3000]);
  });

  it('refuse bad options of connect', () => {
    const bad: Partial<Parameters<typeof client>[1]>[] = [
      { url: 'nowhere' },
      { url: 'http://127.0.0.1:1' },
      { url: 'ws://user:word@127.0.0.1:1' },
      { timeoutMs: 0 },
      { timeoutMs: Number.NaN },
      { token: 'x'.repeat(5000) },
      { retry: { attempts: -1 } },
      { retry: { delayMsMin: 0 } },
      { retry: { delayMsMin: 9, delayMsMax: 3 } },
      { queue: { max: 0 } },
      { queue: { mode: 'sometimes' as 'wait' } },
    ];
    for (const options of bad) {
      expect(() => client('ws://127.0.0.1:9', options)).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      );
    }
  });

  it('take values through a codec of one’s own', async () => {
    const [node, rondo] = await pair();
    const dates: TextCodec<Date> = {
      form: 'text',
      encode: (value) => value.toISOString(),
      decode: (value) => new Date(value),
    };
    store(node);
    const kv = rondo.kv.as(dates);
    const date = new Date(1234567890);
    await kv.put('when', date);
    expect(await kv.get('when')).toEqual(date);
    expect(await verdict(kv.put('when', new Date(Number.NaN)))).toMatchObject({
      code: 'CODEC_FAILED',
    });
  });
});

describe('update', () => {
  it('makes, changes, leaves and removes a key', async () => {
    const [node, rondo] = await pair();
    const map = store(node);
    const kv = rondo.kv.as<number>();
    expect(await kv.update('n', (value) => (value ?? 0) + 1)).toEqual({
      value: 1,
      revision: 1,
      changed: true,
    });
    expect(await kv.update('n', async (value) => (value ?? 0) + 1)).toMatchObject({ value: 2 });
    expect(await kv.update('n', () => undefined)).toEqual({
      value: 2,
      revision: 2,
      changed: false,
    });
    expect(await kv.update('n', () => REMOVE)).toMatchObject({ value: undefined, changed: true });
    expect(await kv.update('n', () => REMOVE)).toMatchObject({ revision: 0, changed: false });
    expect(map.size).toBe(0);
    const puts = node.operations.filter(({ code }) => code === OperationCode.Put);
    expect(puts.map(({ flags }) => flags)).toEqual([
      CONDITION_IF_ABSENT | TTL_KEEP,
      CONDITION_IF_REVISION | TTL_KEEP,
    ]);
  });

  it('loses no change of many that race', async () => {
    const [node, rondo] = await pair();
    const map = store(node);
    const kv = rondo.kv.as<number>();
    const add = (): Promise<unknown> => kv.update('n', (value) => (value ?? 0) + 1);
    await Promise.all(Array.from({ length: 30 }, add));
    expect(Buffer.from(map.get('n')?.value ?? '').toString()).toBe('30');
    const puts = node.operations.filter(({ code }) => code === OperationCode.Put);
    expect(puts.length).toBeGreaterThan(30);
  });

  it('fails with CONTENTION after its attempts, having changed nothing', async () => {
    const [node, rondo] = await pair();
    const map = store(node);
    const keep = node.script;
    let revision = 100;
    node.script = (peer, operations) => {
      for (const entry of map.values()) entry.revision = ++revision;
      keep(peer, operations);
    };
    await rondo.kv.put('n', 0);
    const error = await failure(rondo.kv.update('n', () => 1, { attempts: 3 }));
    expect(error).toMatchObject({ code: 'CONTENTION', retryable: true, maybeApplied: false });
    expect(error.cause).toMatchObject({ code: 'REVISION_MISMATCH' });
    expect(Buffer.from(map.get('n')?.value ?? '').toString()).toBe('0');
  });

  it('passes on what its function throws, and stops at its deadline and signal', async () => {
    const [node, rondo] = await pair();
    store(node);
    const thrown = new Error('mine');
    await expect(
      rondo.kv.update('n', () => {
        throw thrown;
      }),
    ).rejects.toBe(thrown);
    node.script = () => undefined;
    const late = verdict(rondo.kv.update('n', () => 1, { timeoutMs: 30 }));
    expect(await late).toMatchObject({ code: 'TIMEOUT', maybeApplied: false });
    const signal = AbortSignal.timeout(20);
    const gone = verdict(rondo.kv.update('n', () => 1, { signal }));
    expect(await gone).toMatchObject({ code: 'CANCELLED', maybeApplied: false });
  });

  it('does not wait for its function beyond its deadline and signal', async () => {
    // It waited as long as the function did: for ever.
    const [node, rondo] = await pair();
    store(node);
    const never = (): Promise<number> => new Promise(() => undefined);
    const late = verdict(rondo.kv.update('n', never, { timeoutMs: 30 }));
    expect(await late).toMatchObject({ code: 'TIMEOUT', maybeApplied: false });
    const signal = AbortSignal.timeout(20);
    const gone = verdict(rondo.kv.update('n', never, { signal }));
    expect(await gone).toMatchObject({ code: 'CANCELLED', maybeApplied: false });
    const thrown = new Error('mine');
    await expect(rondo.kv.update('n', () => Promise.reject(thrown))).rejects.toBe(thrown);
    expect(await rondo.kv.update('n', async () => 3)).toMatchObject({ value: 3, changed: true });
  });
});

describe('scan', () => {
  const keys = Array.from({ length: 25 }, (_, index) => `p/${String(index).padStart(2, '0')}`);
  const serve = (node: ScriptedNode): void => {
    node.script = (peer, operations) =>
      peer.reply((writer) => {
        for (const { id, text: cursor, limit, flags } of operations) {
          const rest = keys.filter((key) => key > cursor);
          const page = rest.slice(0, limit);
          const value = flags & FLAG_KEYS_ONLY ? new Uint8Array(0) : Buffer.from('[1]');
          for (const key of page) writer.entry(id, FLAG_ENTRY, Buffer.from(key), value, 3, 0);
          const isMore = page.length < rest.length;
          const next = Buffer.from(isMore ? (page.at(-1) ?? '') : '');
          writer.closing(id, isMore ? FLAG_MORE : 0, next, page.length);
        }
      });
  };
  const collect = async <T>(entries: AsyncIterable<T>): Promise<T[]> => {
    const all: T[] = [];
    for await (const entry of entries) all.push(entry);
    return all;
  };
  const limits = (sent: SentOperation[]): number[] => sent.map(({ limit }) => limit);

  it('goes through all pages', async () => {
    const [node, rondo] = await pair();
    serve(node);
    const entries = await collect(rondo.kv.scan('p/', { pageSize: 10 }));
    expect(entries.map(({ key }) => key)).toEqual(keys);
    expect(entries[0]).toEqual({ key: 'p/00', value: [1], revision: 3, ttlMs: undefined });
    expect(limits(node.operations)).toEqual([10, 10, 10]);
  });

  it('ends at its limit, or where its reader stops', async () => {
    const [node, rondo] = await pair();
    serve(node);
    expect(await collect(rondo.kv.scan('p/', { pageSize: 10, limit: 12 }))).toHaveLength(12);
    expect(limits(node.operations)).toEqual([10, 2]);
    for await (const { key } of rondo.kv.scan('p/', { pageSize: 5 })) if (key === 'p/02') break;
    expect(node.operations).toHaveLength(3);
    expect(await collect(rondo.kv.scan('p/', { limit: 0 }))).toHaveLength(0);
    expect(node.operations).toHaveLength(3);
  });

  it('leaves values out where only keys are asked for', async () => {
    const [node, rondo] = await pair();
    serve(node);
    const [first] = await collect(rondo.kv.scan('p/', { keysOnly: true }));
    expect(first).toEqual({ key: 'p/00', value: undefined, revision: 3, ttlMs: undefined });
    expect(node.operations[0]?.flags).toBe(FLAG_KEYS_ONLY);
  });

  it('gives pages with a cursor to go on from', async () => {
    const [node, rondo] = await pair();
    serve(node);
    const first = await rondo.kv.scanPage('p/', { limit: 20 });
    const second = await rondo.kv.scanPage('p/', { limit: 20, cursor: first.cursor });
    expect([...first.entries, ...second.entries].map(({ key }) => key)).toEqual(keys);
    expect(second.cursor).toBeUndefined();
  });

  it('stops with its signal', async () => {
    const [node, rondo] = await pair();
    serve(node);
    const controller = new AbortController();
    const reading = (async () => {
      for await (const { key } of rondo.kv.scan('', { pageSize: 5, signal: controller.signal })) {
        if (key === 'p/04') controller.abort();
      }
    })();
    expect(await verdict(reading)).toMatchObject({ code: 'CANCELLED' });
  });
});

describe('many', () => {
  it('are got, put and deleted in one frame each', async () => {
    const [node, rondo] = await pair();
    store(node);
    const { kv } = rondo;
    await kv.putMany(Object.entries({ a: 1, b: 2, c: 3 }));
    expect(await kv.getMany(['a', 'x', 'c'])).toEqual(new Map(Object.entries({ a: 1, c: 3 })));
    expect(await kv.deleteMany(['a', 'x', 'b'])).toBe(2);
    expect(node.frames.map((frame) => frame.length)).toEqual([3, 3, 3]);
  });

  it('tell how many failed and why, and do the others', async () => {
    const [node, rondo] = await pair();
    const map = store(node);
    await rondo.kv.put('b', 0);
    const entries = Object.entries({ a: 1, b: 2, '': 3 });
    const error = await failure(rondo.kv.putMany(entries, { ifAbsent: true }));
    expect(error).toMatchObject({ code: 'ALREADY_EXISTS', retryable: false, maybeApplied: false });
    expect(error.message).toContain('2 of 3');
    expect((error.cause as AggregateError).errors).toHaveLength(2);
    expect([...map.keys()]).toEqual(['b', 'a']);
  });

  it('pass on what their items throw, and leave no failure unheard', async () => {
    // Calls that had been made failed with nobody to hear it, which ends a process.
    const [node, rondo] = await pair();
    node.script = (peer, operations) => peer.status(operations, Status.Internal);
    const unheard: unknown[] = [];
    const hear = (reason: unknown): number => unheard.push(reason);
    process.on('unhandledRejection', hear);
    const thrown = new Error('mine');
    const entries = function* (): Generator<readonly [string, number]> {
      yield ['a', 1];
      throw thrown;
    };
    await expect(rondo.kv.putMany(entries())).rejects.toBe(thrown);
    await new Promise((resolve) => setTimeout(resolve, 30));
    process.off('unhandledRejection', hear);
    expect(unheard).toEqual([]);
    expect(node.operations).toHaveLength(1);
  });
});
