// Locks of the client: what is asked of the node, what is told of a loss, and that a grant which nobody knows of
// any more is given back.

import { describe, expect, it } from 'vitest';
import type { ConnectOptions, Rondo, RondoError } from '../../ts/client/index.js';
import { bytes } from '../../ts/client/index.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import {
  FLAG_EPHEMERAL,
  FLAG_FENCED,
  FLAG_ONCE,
  FLAG_REENTRANT,
  FLAG_UPGRADE,
  LOCK_PERMIT,
  LOCK_SHARED,
  WAIT_FOREVER,
} from '../../ts/wire/layout.js';
import { CLOSE_CODE_BASE, Status } from '../../ts/wire/status.js';
import { client, delay, failure, scriptedNode, state, until, verdict } from './client-harness.js';
import type { Peer, Script, ScriptedNode, SentOperation } from './client-scripted-node.js';

const { Lock, Unlock, Downgrade, Extend, CancelLock, EndSession } = OperationCode;

/** Answers one operation. */
function tell(peer: Peer, { id }: SentOperation, status: number, revision = 0): void {
  peer.reply((writer) => writer.result(id, status, revision, 0));
}

/** What `script` leaves, by returning true, is answered Ok: locks with tokens from 100 on. */
async function connected(
  script: (peer: Peer, operation: SentOperation) => boolean | undefined = () => true,
  options: Partial<ConnectOptions> = {},
  ttlMs?: number,
): Promise<[ScriptedNode, Rondo]> {
  let token = 100;
  const each: Script = (peer, operations) => {
    for (const operation of operations) {
      if (script(peer, operation) !== true) continue;
      tell(peer, operation, Status.Ok, operation.code === Lock ? token++ : 1);
    }
  };
  const node = await scriptedNode(each);
  node.sessions = { resumes: true, answersRemembered: true };
  if (ttlMs !== undefined) node.sessions.ttlMs = ttlMs;
  const rondo = client(node.url, options);
  await rondo.ready();
  return [node, rondo];
}

const of = (node: ScriptedNode, code: number): SentOperation[] =>
  node.operations.filter((operation) => operation.code === code);
const reasonOf = ({ signal }: { signal: AbortSignal }): RondoError => signal.reason as RondoError;

describe('lock', () => {
  it('asks as it is told', async () => {
    const [node, rondo] = await connected();
    const lock = await rondo.lock('a');
    expect(lock).toMatchObject({ name: 'a', token: 100, mode: 'exclusive' });
    await rondo.lock('b', { mode: 'shared', ttlMs: 60_000, waitMs: 5000.2, reentrant: true });
    await rondo.lock('c', { waitMs: 0 });
    await rondo.semaphore('d', 7).acquire();
    const asked = of(node, Lock).map(({ key, flags, limit, ttlMs, expectedRevision }) => [
      key,
      flags,
      limit,
      ttlMs,
      expectedRevision,
    ]);
    expect(asked).toEqual([
      ['a', 0, WAIT_FOREVER, 0, 0],
      ['b', LOCK_SHARED | FLAG_REENTRANT, 5001, 60_000, 0],
      ['c', 0, 0, 0, 0],
      ['d', LOCK_PERMIT, WAIT_FOREVER, 0, 7],
    ]);
  });

  it('refuses what cannot be, before anything is sent', async () => {
    const [node, rondo] = await connected();
    const without = client(node.url, { session: false });
    const calls: [Promise<unknown>, string][] = [
      [rondo.lock(''), 'INVALID_KEY'],
      [rondo.lock('k'.repeat(1025)), 'KEY_TOO_LONG'],
      [rondo.lock('k', { ttlMs: 0 }), 'TTL_OUT_OF_RANGE'],
      [rondo.lock('k', { ttlMs: 86_400_001 }), 'TTL_OUT_OF_RANGE'],
      [rondo.lock('k', { waitMs: -1 }), 'INVALID_ARGUMENT'],
      [rondo.lock('k', { waitMs: Number.NaN }), 'INVALID_ARGUMENT'],
      [rondo.lock('k', { waitMs: 2 ** 32 }), 'INVALID_ARGUMENT'],
      [rondo.lock('k', { mode: 'both' as 'shared' }), 'INVALID_ARGUMENT'],
      [rondo.lock('k', { signal: AbortSignal.abort() }), 'CANCELLED'],
      [without.lock('k'), 'SESSION_REQUIRED'],
      [without.elect('k'), 'SESSION_REQUIRED'],
      [without.semaphore('k', 1).acquire(), 'SESSION_REQUIRED'],
      [(async () => rondo.semaphore('k', 0))(), 'INVALID_ARGUMENT'],
    ];
    for (const [call, code] of calls) expect((await failure(call)).code).toBe(code);
    await rondo.kv.delete('k');
    expect(node.operations.map(({ code }) => code)).toEqual([OperationCode.Delete]);
  });

  it('tells why it was refused', async () => {
    const refusals: [number, string, boolean][] = [
      [Status.LockHeld, 'LOCK_HELD', true],
      [Status.LockTimeout, 'LOCK_TIMEOUT', true],
      [Status.SessionFull, 'SESSION_FULL', false],
    ];
    for (const [status, code, retryable] of refusals) {
      const [, rondo] = await connected(
        (peer, operation) => tell(peer, operation, status, 7) as undefined,
      );
      expect(await verdict(rondo.lock('k'))).toEqual({ code, retryable, maybeApplied: false });
    }
    const cycle = '0001 waits for "ä" held by 0002\n0002 waits for "b" held by 0001';
    const [, rondo] = await connected((peer, operation) => {
      peer.statusWithText(operation, Status.Deadlock, cycle);
      return false;
    });
    const error = await failure(rondo.lock('k'));
    expect(error).toMatchObject({ code: 'DEADLOCK', retryable: true });
    expect(error.message).toContain(cycle);
  });

  it('is released once, by the end of its scope too', async () => {
    const [node, rondo] = await connected();
    {
      await using lock = await rondo.lock('k');
      await Promise.all([lock.release(), lock.release()]);
      expect((await failure(lock.put('x', 1))).code).toBe('NOT_HOLDER');
      expect(lock.signal.aborted).toBe(false);
    }
    const unlocks = of(node, Unlock);
    expect(unlocks).toHaveLength(1);
    expect(unlocks[0]).toMatchObject({ key: 'k', expectedRevision: 100, flags: FLAG_ONCE });
  });

  it('that waits long is no silent connection, and outlives the time of a call', async () => {
    const held: [Peer, SentOperation][] = [];
    const [node, rondo] = await connected(
      (peer, operation) => {
        if (operation.code !== Lock) return true;
        held.push([peer, operation]);
        return false;
      },
      { timeoutMs: 400 },
    );
    const lock = rondo.lock('k');
    await until(() => held.length === 1);
    for (let round = 0; round < 10; round++) {
      await delay(60);
      await rondo.kv.delete('other');
    }
    expect(node.peers).toHaveLength(1);
    const [peer, operation] = held[0] as [Peer, SentOperation];
    tell(peer, operation, Status.Ok, 5);
    expect((await lock).token).toBe(5);
  });

  it('ends by the client where the node does not tell the end of the wait', async () => {
    const [, rondo] = await connected((_, { code }) => code !== Lock, { timeoutMs: 500 });
    const began = performance.now();
    expect(await verdict(rondo.lock('k', { waitMs: 60 }))).toMatchObject({ code: 'TIMEOUT' });
    expect(performance.now() - began).toBeGreaterThan(555);
  });
});

describe('a lock that is given up', () => {
  it('is cancelled', async () => {
    const [node, rondo] = await connected((peer, operation) => {
      if (operation.code === CancelLock) {
        peer.reply((writer) => {
          writer.result(operation.expectedRevision, Status.LockCancelled, 0, 0);
          writer.result(operation.id, Status.Ok, 0, 0);
        });
      }
      return operation.code !== Lock && operation.code !== CancelLock;
    });
    const controller = new AbortController();
    const lock = verdict(rondo.lock('k', { signal: controller.signal }));
    await until(() => of(node, Lock).length === 1);
    controller.abort();
    expect(await lock).toEqual({ code: 'CANCELLED', retryable: false, maybeApplied: false });
    await until(() => of(node, CancelLock).length === 1);
    const [{ id }] = of(node, Lock) as [SentOperation];
    expect(of(node, CancelLock)[0]).toMatchObject({ key: 'k', expectedRevision: id });
    await rondo.kv.delete('k');
    expect(of(node, Unlock)).toHaveLength(0);
    expect(node.peers).toHaveLength(1);
  });

  it('is released where the grant has won the race', async () => {
    const [node, rondo] = await connected((peer, operation) => {
      if (operation.code === CancelLock) {
        tell(peer, { ...operation, id: operation.expectedRevision }, Status.Ok, 55);
        tell(peer, operation, Status.AlreadyExists, 55);
      }
      return operation.code !== Lock && operation.code !== CancelLock;
    });
    const controller = new AbortController();
    const lock = verdict(rondo.lock('k', { signal: controller.signal }));
    await until(() => of(node, Lock).length === 1);
    controller.abort();
    await lock;
    await until(() => of(node, Unlock).length === 1);
    expect(of(node, Unlock)[0]).toMatchObject({ key: 'k', expectedRevision: 55 });
  });

  it('while there is no connection is cancelled when there is one', async () => {
    const [node, rondo] = await connected((peer, operation) => {
      if (operation.code === CancelLock) tell(peer, operation, Status.NotFound);
      return operation.code !== Lock && operation.code !== CancelLock;
    });
    const controller = new AbortController();
    const lock = verdict(rondo.lock('k', { signal: controller.signal }));
    await until(() => of(node, Lock).length === 1);
    const [{ id }] = of(node, Lock) as [SentOperation];
    node.onHello = () => undefined;
    node.cut();
    await state(rondo, 'reconnecting');
    controller.abort();
    expect(await lock).toMatchObject({ code: 'CANCELLED' });
    node.onHello = undefined;
    node.cut();
    await until(() => of(node, CancelLock).length === 1);
    // A late answer of the wait is no violation.
    const peer = node.peers.at(-1) as Peer;
    tell(peer, { ...(of(node, Lock)[0] as SentOperation), id }, Status.LockCancelled);
    await rondo.kv.delete('k');
    expect(of(node, Lock)).toHaveLength(1);
    const { length } = node.peers;
    await delay(20);
    expect(node.peers).toHaveLength(length);
  });

  it('by drain fails at once', async () => {
    const [node, rondo] = await connected((_, { code }) => code !== Lock);
    const lock = verdict(rondo.lock('k'));
    await until(() => of(node, Lock).length === 1);
    await rondo.drain();
    expect(await lock).toEqual({ code: 'CLOSED', retryable: false, maybeApplied: false });
    expect(of(node, EndSession)).toHaveLength(1);
  });
});

describe('a lost connection', () => {
  for (const answersRemembered of [true, false]) {
    it(`has a lock asked for again (answers remembered: ${answersRemembered})`, async () => {
      const [node, rondo] = await connected((peer, operation) => {
        if (operation.code === Lock && peer.index > 0) {
          // Granted while there was no connection, and again because it was asked for again.
          tell(peer, operation, Status.Ok, 9);
          tell(peer, operation, Status.Ok, 9);
        }
        return operation.code !== Lock;
      });
      node.sessions = { resumes: true, answersRemembered };
      const lock = rondo.lock('k', { waitMs: 5000 });
      await until(() => of(node, Lock).length === 1);
      await delay(30);
      node.cut();
      expect((await lock).token).toBe(9);
      await rondo.kv.delete('k');
      const [first, second] = of(node, Lock) as [SentOperation, SentOperation];
      expect(second.id).toBe(first.id);
      // Only what is left of the wait is asked for.
      expect(second.limit).toBeLessThan(4980);
      expect(node.peers).toHaveLength(2);
    });
  }

  it('and its session make a lock fail that waits', async () => {
    const [node, rondo] = await connected((_, { code }) => code !== Lock);
    const lock = verdict(rondo.lock('k'));
    await until(() => of(node, Lock).length === 1);
    node.sessions = { resumes: false, answersRemembered: false };
    node.cut();
    expect(await lock).toEqual({ code: 'SESSION_UNKNOWN', retryable: true, maybeApplied: false });
    await delay(30);
    expect(of(node, CancelLock)).toHaveLength(0);
  });

  it('does not keep a lock from being released, however long it takes', async () => {
    const [node, rondo] = await connected(undefined, { timeoutMs: 400 });
    const lock = await rondo.lock('k');
    node.onHello = () => undefined;
    node.cut();
    await state(rondo, 'reconnecting');
    expect(await verdict(lock.release())).toMatchObject({ code: 'TIMEOUT' });
    node.onHello = undefined;
    node.cut();
    await until(() => of(node, Unlock).length === 1);
    expect(of(node, Unlock)[0]).toMatchObject({ expectedRevision: lock.token });
  });
});

describe('lock.signal', () => {
  it('aborts when the session is lost, and the lock writes no more', async () => {
    const [node, rondo] = await connected();
    const lock = await rondo.lock('k');
    node.peers[0]?.socket.close(CLOSE_CODE_BASE + Status.SessionUnknown, 'ended');
    await until(() => lock.signal.aborted);
    expect(reasonOf(lock).code).toBe('SESSION_UNKNOWN');
    expect(await verdict(lock.put('x', 1))).toMatchObject({ code: 'SESSION_UNKNOWN' });
    await lock.release();
    expect(of(node, Unlock)).toHaveLength(0);
  });

  it('aborts by this side’s clock where the network swallows everything', async () => {
    const [node, rondo] = await connected((_, { code }) => code === Lock, { timeoutMs: 5000 }, 300);
    const asked = performance.now();
    const lock = await rondo.lock('k');
    node.onHello = () => undefined;
    await until(() => lock.signal.aborted);
    const tookMs = performance.now() - asked;
    expect(tookMs).toBeGreaterThan(250);
    expect(tookMs).toBeLessThan(700);
    expect(reasonOf(lock).code).toBe('SESSION_UNKNOWN');
  });

  it('does not abort where the session is kept alive or resumed', async () => {
    const [node, rondo] = await connected(undefined, {}, 500);
    const lock = await rondo.lock('k');
    await delay(700);
    node.cut();
    await delay(700);
    expect(lock.signal.aborted).toBe(false);
    expect(node.peers).toHaveLength(2);
    await lock.release();
  });

  it('aborts with the client', async () => {
    const [, rondo] = await connected();
    const [first, second] = await Promise.all([rondo.lock('a'), rondo.lock('b')]);
    await first.release();
    await rondo.close();
    expect(first.signal.aborted).toBe(false);
    expect(reasonOf(second).code).toBe('CLOSED');
    await second.release();
  });
});

describe('a lease', () => {
  it('is extended at a third for as long as the lock is held', async () => {
    const [node, rondo] = await connected();
    const lock = await rondo.lock('k', { ttlMs: 450 });
    await delay(1200);
    expect(lock.signal.aborted).toBe(false);
    expect(of(node, Extend).length).toBeGreaterThanOrEqual(4);
    expect(of(node, Extend)[0]).toMatchObject({ key: 'k', ttlMs: 450, expectedRevision: 100 });
    await lock.release();
    const { length } = of(node, Extend);
    await delay(250);
    expect(of(node, Extend)).toHaveLength(length);
  });

  it('that ran out is told by the node, or by this side’s clock', async () => {
    const [, told] = await connected((peer, operation) => {
      if (operation.code === Extend) tell(peer, operation, Status.NotHolder);
      return operation.code !== Extend;
    });
    const first = await told.lock('k', { ttlMs: 600 });
    await until(() => first.signal.aborted);
    expect(reasonOf(first).code).toBe('NOT_HOLDER');

    const [, silent] = await connected((_, { code }) => code !== Extend);
    const began = performance.now();
    const second = await silent.lock('k', { ttlMs: 600 });
    await until(() => second.signal.aborted);
    expect(reasonOf(second).code).toBe('NOT_HOLDER');
    expect(performance.now() - began).toBeLessThan(1200);
  });

  it('of a lock that was waited for is confirmed first', async () => {
    const [node, rondo] = await connected((peer, operation) => {
      if (operation.code === Lock) setTimeout(() => tell(peer, operation, Status.Ok, 4), 400);
      return operation.code !== Lock;
    });
    const lock = await rondo.lock('k', { ttlMs: 300 });
    expect(of(node, Extend)).toHaveLength(1);
    expect(lock.signal.aborted).toBe(false);
    await lock.release();
  });
});

describe('upgrade and downgrade', () => {
  it('change mode and token', async () => {
    const [node, rondo] = await connected();
    const lock = await rondo.lock('k', { mode: 'shared' });
    await lock.upgrade({ waitMs: 0 });
    expect(lock).toMatchObject({ mode: 'exclusive', token: 101 });
    expect(of(node, Lock)[1]).toMatchObject({
      flags: FLAG_UPGRADE,
      limit: 0,
      expectedRevision: 100,
    });
    await lock.upgrade();
    await lock.downgrade();
    expect(lock).toMatchObject({ mode: 'shared', token: 101 });
    expect(of(node, Downgrade)[0]).toMatchObject({ expectedRevision: 101 });
    await lock.release();
    expect(of(node, Unlock)[0]).toMatchObject({ expectedRevision: 101 });
  });

  it('leave the lock shared where the upgrade is given up after it was granted', async () => {
    const [node, rondo] = await connected((peer, operation) => {
      const isUpgrade = (operation.flags & FLAG_UPGRADE) !== 0 && operation.code === Lock;
      if (operation.code === CancelLock) tell(peer, operation, Status.AlreadyExists, 77);
      return !isUpgrade && operation.code !== CancelLock;
    });
    const lock = await rondo.lock('k', { mode: 'shared' });
    const controller = new AbortController();
    const upgrade = verdict(lock.upgrade({ signal: controller.signal }));
    await until(() => of(node, Lock).length === 2);
    controller.abort();
    expect(await upgrade).toMatchObject({ code: 'CANCELLED' });
    expect(lock).toMatchObject({ mode: 'shared', token: 77 });
    expect(of(node, Downgrade)[0]).toMatchObject({ expectedRevision: 77 });
  });
});

describe('fenced writes', () => {
  it('carry token and name before the value', async () => {
    const [node, rondo] = await connected((peer, operation) => {
      if (operation.code === OperationCode.Increment) {
        peer.reply((writer) => writer.resultWithValue(operation.id, Buffer.from('3'), 1, 0));
      }
      return operation.code !== OperationCode.Increment;
    });
    const lock = await rondo.lock('schloß');
    await lock.put('a', { x: 1 }, { ttlMs: 5 });
    await lock.delete('b');
    expect(await lock.increment('c', 3)).toBe(3n);
    await lock.touch('d', { ttlMs: 9 });
    await rondo.kv.as(bytes).put('e', Uint8Array.of(1, 2), { fence: lock.fence, ephemeral: true });
    const head = Buffer.from([100, 0, 0, 0, 0, 0, 0, 0, 7, 0, ...Buffer.from('schloß')]);
    const written = node.operations.filter(({ code }) => code <= OperationCode.Touch);
    expect(written.map(({ value }) => Buffer.from(value).subarray(0, head.length))).toEqual(
      [0, 1, 2, 3, 4].map(() => head),
    );
    const rest = written.map(({ value }) => [...value.subarray(head.length)]);
    expect(rest).toEqual([[...Buffer.from('{"x":1}')], [], [3, 0, 0, 0, 0, 0, 0, 0], [], [1, 2]]);
    for (const { flags } of written) expect(flags & FLAG_FENCED).toBe(FLAG_FENCED);
    expect((written[4]?.flags ?? 0) & FLAG_EPHEMERAL).toBe(FLAG_EPHEMERAL);
  });

  it('are refused with the token of the newer holder', async () => {
    const [, rondo] = await connected((peer, operation) => {
      if (operation.code !== Lock) tell(peer, operation, Status.Fenced, 400);
      return operation.code === Lock;
    });
    const lock = await rondo.lock('k');
    const error = await failure(lock.put('x', 1));
    expect(error).toMatchObject({ code: 'FENCED', revision: 400, maybeApplied: false });
    for (const token of [0, -1, 1.5, 2 ** 53]) {
      const fence = { lock: 'k', token };
      expect(await verdict(rondo.kv.put('x', 1, { fence }))).toMatchObject({
        code: 'INVALID_ARGUMENT',
      });
    }
    const long = rondo.kv.delete('x', { fence: { lock: '', token: 1 } });
    expect((await failure(long)).code).toBe('INVALID_KEY');
  });

  it('count their value against the limit, not the fence', async () => {
    const [node, rondo] = await connected();
    node.limits.valueBytesMax = 100;
    node.cut();
    await state(rondo, 'reconnecting');
    await rondo.ready();
    const fence = { lock: 'l'.repeat(300), token: 9 };
    const kv = rondo.kv.as(bytes);
    await kv.put('x', new Uint8Array(100), { fence });
    const error = await failure(kv.put('x', new Uint8Array(101), { fence }));
    expect(error.code).toBe('VALUE_TOO_LARGE');
  });
});

describe('several locks', () => {
  it('are taken in the order of their bytes, and released in reverse', async () => {
    const [node, rondo] = await connected();
    const set = await rondo.lockMany(['b', '\u{10000}', 'a', '\uffff', 'b']);
    const names = ['a', 'b', '\uffff', '\u{10000}'];
    expect(of(node, Lock).map(({ key }) => key)).toEqual(names);
    expect([...set.tokens]).toEqual(names.map((name, index) => [name, 100 + index]));
    await set.release();
    await set.release();
    expect(of(node, Unlock).map(({ key }) => key)).toEqual([...names].reverse());
  });

  it('are released where one fails, and lost with the first that is', async () => {
    const [node, rondo] = await connected((peer, operation) => {
      const isHeld = operation.code === Lock && operation.key === 'c';
      if (isHeld) tell(peer, operation, Status.LockTimeout);
      return !isHeld;
    });
    const many = rondo.lockMany(['a', 'b', 'c', 'd'], { waitMs: 1000 });
    expect((await failure(many)).code).toBe('LOCK_TIMEOUT');
    expect(of(node, Unlock).map(({ key }) => key)).toEqual(['b', 'a']);
    expect(of(node, Lock)).toHaveLength(3);
    const set = await rondo.lockMany(['a', 'b']);
    await rondo.close();
    expect(reasonOf(set).code).toBe('CLOSED');
  });
});

describe('a lock that is taken again', () => {
  it('is one hold with one signal, released as often as it was taken', async () => {
    const [node, rondo] = await connected((peer, operation) => {
      if (operation.code === Lock) tell(peer, operation, Status.Ok, 42);
      return operation.code !== Lock;
    });
    const outer = await rondo.lock('k', { reentrant: true });
    const inner = await rondo.lock('k', { reentrant: true });
    expect(inner.signal).toBe(outer.signal);
    await inner.release();
    await inner.release();
    expect(of(node, Unlock)).toHaveLength(1);
    await outer.put('x', 1);
    await outer.release();
    expect(of(node, Unlock)).toHaveLength(2);
  });

  it('is unlocked to the end where a repeated request counted twice', async () => {
    let depth = 2;
    const [node, rondo] = await connected((peer, operation) => {
      if (operation.code === Unlock) {
        depth--;
        peer.reply((writer) => writer.closing(operation.id, 0, new Uint8Array(0), depth));
      }
      return operation.code !== Unlock;
    });
    const lock = await rondo.lock('k', { reentrant: true });
    await lock.release();
    expect(of(node, Unlock)).toHaveLength(2);
  });
});

describe('an election', () => {
  it('puts the leader’s value for as long as it leads', async () => {
    const [node, rondo] = await connected();
    const leader = await rondo.elect('boss', { value: { at: 'here' } });
    expect(leader).toMatchObject({ name: 'boss', token: 100 });
    const [put] = of(node, OperationCode.Put) as [SentOperation];
    expect(put.key).toBe('boss');
    expect(put.flags & (FLAG_FENCED | FLAG_EPHEMERAL)).toBe(FLAG_FENCED | FLAG_EPHEMERAL);
    await leader.resign();
    await leader.resign();
    expect(node.operations.slice(-2).map(({ code }) => code)).toEqual([
      OperationCode.Delete,
      Unlock,
    ]);
  });

  it('goes on where the session is lost while it waits, until it is given up', async () => {
    const [node, rondo] = await connected((_, { code }) => code !== Lock);
    const controller = new AbortController();
    const leader = verdict(rondo.elect('boss', { signal: controller.signal }));
    await until(() => of(node, Lock).length === 1);
    node.sessions = { resumes: false, answersRemembered: false };
    node.cut();
    await until(() => of(node, Lock).length === 2);
    controller.abort();
    expect(await leader).toMatchObject({ code: 'CANCELLED' });
  });
});
