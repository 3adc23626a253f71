// The list of locks: paging, and the view of a lock as the node writes it.

import { describe, expect, it } from 'vitest';
import { rowsOf } from '../../node/cli/lock-commands.js';
import { tableLines } from '../../node/cli/output-format.js';
import type { LockInfo } from '../../ts/client/index.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import {
  FLAG_ENTRY,
  FLAG_MORE,
  LOCK_EXCLUSIVE,
  LOCK_PERMIT,
  LOCK_SHARED,
} from '../../ts/wire/layout.js';
import { client, failure, scriptedNode } from './client-harness.js';

interface Item {
  token?: bigint;
  session: bigint;
  since: bigint;
  end?: bigint;
  depth?: number;
  mode: number;
  upgrade?: boolean;
}

function view(holds: number, waits: number, holders: Item[], waiters: Item[]): Uint8Array {
  const bytes = Buffer.alloc(16 + 40 * (holders.length + waiters.length));
  [holds, waits, holders.length, waiters.length].forEach((count, index) => {
    bytes.writeUInt32LE(count, index * 4);
  });
  [...holders, ...waiters].forEach((item, index) => {
    const at = 16 + 40 * index;
    bytes.writeBigUInt64LE(item.token ?? 0n, at);
    bytes.writeBigUInt64LE(item.session, at + 8);
    bytes.writeBigUInt64LE(item.since, at + 16);
    bytes.writeBigUInt64LE(item.end ?? 0n, at + 24);
    bytes.writeUInt32LE(4711, at + 32);
    bytes.writeUInt16LE(item.depth ?? 0, at + 36);
    bytes.writeUInt8(item.mode, at + 38);
    bytes.writeUInt8(item.upgrade === true ? 1 : 0, at + 39);
  });
  return bytes;
}

const A = view(
  2,
  70,
  [
    { token: 2n ** 53n - 1n, session: 255n, since: 1000n, depth: 2, mode: LOCK_SHARED },
    { token: 9n, session: 1n, since: 2000n, end: 12_000n, depth: 1, mode: LOCK_SHARED },
  ],
  [{ session: 255n, since: 3000n, end: 9000n, mode: LOCK_EXCLUSIVE, upgrade: true }],
);
const B = view(0, 1, [], [{ session: 7n, since: 4000n, mode: LOCK_PERMIT }]);

const LOCK_A: LockInfo = {
  name: 'l/a',
  token: 9,
  holds: 2,
  waits: 70,
  holders: [
    {
      token: 2 ** 53 - 1,
      session: '000000000000ff',
      mode: 'shared',
      depth: 2,
      sinceMs: 1000,
      leaseEndMs: undefined,
    },
    {
      token: 9,
      session: '00000000000001',
      mode: 'shared',
      depth: 1,
      sinceMs: 2000,
      leaseEndMs: 12_000,
    },
  ],
  waiters: [
    {
      session: '000000000000ff',
      mode: 'exclusive',
      isUpgrade: true,
      sinceMs: 3000,
      deadlineMs: 9000,
    },
  ],
};

describe('the list of locks', () => {
  it('is read page by page', async () => {
    const node = await scriptedNode((peer, [operation]) => {
      if (operation === undefined) throw new Error('an empty frame');
      peer.reply((writer) => {
        const { id } = operation;
        if (operation.value.length === 0) {
          writer.entry(id, FLAG_ENTRY, Buffer.from('l/a'), A, 9, 0);
          writer.closing(id, FLAG_MORE, Buffer.from('l/a'), 1);
        } else {
          writer.entry(id, FLAG_ENTRY, Buffer.from('l/b'), B, 0, 0);
          writer.closing(id, 0, Buffer.alloc(0), 1);
        }
      });
    });
    const rondo = client(node.url, { session: false });
    const found: LockInfo[] = [];
    for await (const lock of rondo.locks('l/')) found.push(lock);
    expect(found[0]).toEqual(LOCK_A);
    expect(found[1]).toMatchObject({ name: 'l/b', token: 0, holders: [], holds: 0 });
    expect(found[1]?.waiters).toMatchObject([{ mode: 'permit', deadlineMs: undefined }]);
    expect(found).toHaveLength(2);
    const sent = node.operations.map(({ code, key, text }) => [code, key, text]);
    expect(sent).toEqual([
      [OperationCode.ListLocks, 'l/', ''],
      [OperationCode.ListLocks, 'l/', 'l/a'],
    ]);

    const first: string[] = [];
    for await (const { name } of rondo.locks('l/', { limit: 1 })) first.push(name);
    expect(first).toEqual(['l/a']);
    expect(node.operations.at(-1)?.limit).toBe(1);
  });

  it('fails where a view is not whole, or an argument is wrong', async () => {
    for (const broken of [A.slice(0, -1), A.slice(0, 15), Buffer.concat([A, Buffer.alloc(40)])]) {
      const node = await scriptedNode((peer, [operation]) => {
        const id = operation?.id ?? 0;
        peer.reply((writer) => {
          writer.entry(id, FLAG_ENTRY, Buffer.from('l/a'), broken, 9, 0);
          writer.closing(id, 0, Buffer.alloc(0), 1);
        });
      });
      const rondo = client(node.url, { session: false });
      expect((await failure(rondo.locks().next())).code).toBe('CODEC_FAILED');
    }
    const rondo = client('ws://127.0.0.1:9', { session: false });
    expect((await failure(rondo.locks('', { limit: -1 }).next())).code).toBe('INVALID_ARGUMENT');
    expect((await failure(rondo.locks('x'.repeat(1025)).next())).code).toBe('KEY_TOO_LONG');
  });

  it('is shown as a line for each who holds and waits', () => {
    const lines = tableLines(
      ['name', 'state', 'mode', 'session', 'token', 'age', 'ends'],
      rowsOf(LOCK_A, 8000),
      ['token', 'age'],
    );
    expect(lines.map((line) => line.trimEnd())).toEqual([
      'name  state             mode       session                    token  age  ends',
      'l/a   held 2 times      shared     000000000000ff  9007199254740991  7 s  with its session',
      'l/a   held              shared     00000000000001                 9  6 s  in 4 s',
      'l/a   waits to upgrade  exclusive  000000000000ff                 -  5 s  in 1 s',
      'l/a   69 more wait',
    ]);
  });
});
