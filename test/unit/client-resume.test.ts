// What a client believes after a connection was lost at an awkward moment: of writes that may have been carried
// out, of leases, of sessions whose welcome comes late.

import { describe, expect, it } from 'vitest';
import type { Rondo } from '../../ts/client/index.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { CLOSE_CODE_BASE, Status } from '../../ts/wire/status.js';
import { client, delay, scriptedNode, state, until, verdict } from './client-harness.js';
import type { Script, ScriptedNode } from './client-scripted-node.js';

const { Lock, Unlock, Extend } = OperationCode;

async function sessionNode(script?: Script): Promise<ScriptedNode> {
  const node = await scriptedNode(script);
  node.sessions = { resumes: true, answersRemembered: true };
  return node;
}

describe('a write whose answer was lost', () => {
  /** A write to a node that carries it out and loses the connection, then refuses it. */
  async function refused(status: number): Promise<[ScriptedNode, Rondo]> {
    const node = await sessionNode((peer, operations) => {
      if (peer.index === 0) peer.socket.terminate();
      else if (peer.index === 1) peer.status(operations, status);
      else peer.confirm(operations);
    });
    return [node, client(node.url)];
  }

  it('goes to no other session, where it would count twice', async () => {
    const [node, rondo] = await refused(Status.SessionUnknown);
    expect(await verdict(rondo.kv.increment('k'))).toMatchObject({ maybeApplied: true });
    await until(() => node.hellos.length === 3);
    await rondo.kv.get('other');
    expect(node.operations.filter(({ key }) => key === 'k')).toHaveLength(2);
  });

  it('may have been carried out, although the node refuses the second try', async () => {
    for (const status of [Status.Overloaded, Status.DiskFull, Status.LogFailed]) {
      const [, rondo] = await refused(status);
      expect(await verdict(rondo.kv.increment('k'))).toMatchObject({ maybeApplied: true });
    }
    // What was refused by what is there would have been answered from memory.
    const [, rondo] = await refused(Status.NotANumber);
    expect(await verdict(rondo.kv.increment('k'))).toEqual({
      code: 'NOT_A_NUMBER',
      retryable: false,
      maybeApplied: false,
    });
  });

  it('is not pushed out of memory by others, also where some were given up', async () => {
    let answers = false;
    const executed = new Map<number, number>();
    const remembered: number[] = [];
    const node = await sessionNode((peer, operations) => {
      for (const { id } of operations) {
        if (remembered.includes(id)) continue;
        executed.set(id, (executed.get(id) ?? 0) + 1);
        remembered.push(id);
        if (remembered.length > 10) remembered.shift();
      }
      if (answers) peer.confirm(operations);
    });
    node.limits.answersRememberedMax = 10;
    const rondo = client(node.url);
    const stop = new AbortController();
    const puts = Array.from({ length: 10 }, (_, index) =>
      rondo.kv.put(`k${index}`, 1, { signal: index % 2 === 1 ? stop.signal : undefined }),
    );
    const ended = Promise.allSettled(puts);
    await until(() => executed.size === 10);
    stop.abort();
    const more = Array.from({ length: 10 }, (_, index) => rondo.kv.put(`m${index}`, 1));
    node.cut();
    await until(() => node.hellos.length === 2);
    await delay(50);
    answers = true;
    node.cut();
    await Promise.all([ended, ...more]);
    expect([...executed.values()].filter((times) => times > 1)).toEqual([]);
  });
});

describe('a lock that is waited for', () => {
  it('outlives any number of connections', async () => {
    const node = await sessionNode((peer, operations) => {
      if (peer.index < 12) peer.socket.terminate();
      else peer.status(operations, Status.Ok, 7);
    });
    const lock = await client(node.url).lock('k');
    expect(lock.token).toBe(7);
    expect(new Set(node.operations.map(({ id }) => id)).size).toBe(1);
  });
});

describe('a lease', () => {
  it('is extended after a connection that was lost just when it was due', async () => {
    let token = 1;
    const node = await sessionNode((peer, operations) => {
      peer.reply((writer) => {
        for (const { id } of operations) writer.result(id, Status.Ok, token++, 0);
      });
    });
    const rondo = client(node.url, { retry: { delayMsMin: 150, delayMsMax: 150 } });
    const lock = await rondo.lock('k', { ttlMs: 900 });
    await delay(250);
    node.cut();
    await state(rondo, 'connected');
    await delay(1000);
    expect(lock.signal.aborted).toBe(false);
  });

  it('counts from when its extension was first sent, not from when it was repeated', async () => {
    let cut = 0;
    const node = await sessionNode((peer, operations) => {
      if (operations.some(({ code }) => code === Extend)) {
        // Carried out, and the answer lost; the repeated one is answered, and then nothing.
        if (cut === 0) {
          cut = performance.now();
          peer.socket.terminate();
          return;
        }
        if (peer.index > 1) return;
        node.onHello = () => undefined;
      }
      peer.status(operations, Status.Ok, 7);
      if (node.onHello !== undefined) setTimeout(() => peer.socket.terminate(), 5);
    });
    const rondo = client(node.url, { retry: { delayMsMin: 600, delayMsMax: 600 } });
    const lock = await rondo.lock('k', { ttlMs: 2400 });
    await until(() => lock.signal.aborted);
    // From when it was repeated: 600 ms later.
    expect(performance.now() - cut).toBeLessThan(2400 + 400);
  });

  it('of a lock that was asked for again is confirmed first', async () => {
    const node = await sessionNode((peer, operations) => {
      const isLock = operations.some(({ code }) => code === Lock);
      if (isLock && peer.index === 0) setTimeout(() => peer.socket.terminate(), 300);
      else peer.status(operations, Status.Ok, 7);
    });
    const rondo = client(node.url);
    await rondo.lock('k', { ttlMs: 600 });
    expect(node.operations.map(({ code }) => code)).toEqual([Lock, Lock, Extend]);
  });
});

describe('a lock that was taken twice', () => {
  it('is not given back twice by one release whose answer does not come', async () => {
    const node = await sessionNode((peer, operations) => {
      const told = operations.filter(({ code }) => code !== Unlock);
      if (told.length > 0) peer.status(told, Status.Ok, 7);
    });
    const rondo = client(node.url, { timeoutMs: 200 });
    const first = await rondo.lock('k', { reentrant: true });
    await rondo.lock('k', { reentrant: true });
    await first.release();
    await delay(300);
    expect(node.operations.filter(({ code }) => code === Unlock)).toHaveLength(1);
  });

  it('has its lease extended, where the one who asked for it is gone', async () => {
    const node = await sessionNode((peer, operations) => {
      peer.reply((writer) => {
        for (const { id, code } of operations)
          writer.result(id, Status.Ok, 7, code === Lock ? 450 : 0);
      });
    });
    const rondo = client(node.url);
    const first = await rondo.lock('k', { ttlMs: 450 });
    const [second] = await Promise.all([rondo.lock('k', { reentrant: true }), first.release()]);
    await until(() => node.operations.filter(({ code }) => code === Extend).length > 1);
    expect(second.signal.aborted).toBe(false);
  });
});

describe('a welcome', () => {
  it('that comes when the session may be over is not the end of the client', async () => {
    const node = await sessionNode();
    node.onHello = (peer) => {
      setTimeout(() => node.welcome(peer, { sessionTtlMs: 500 }), peer.index === 0 ? 700 : 0);
    };
    const rondo = client(node.url);
    expect(await rondo.kv.get('k')).toBe('k');
    expect(node.hellos.length).toBeGreaterThanOrEqual(2);
  });
});

describe('a client that is closed by who hears of a lost session', () => {
  it('stays closed, whoever told of the loss', async () => {
    const ways: ((node: ScriptedNode) => void)[] = [
      (node) => node.peers[0]?.socket.close(CLOSE_CODE_BASE + Status.SessionUnknown, 'ended'),
      (node) => {
        node.sessions = { resumes: false, answersRemembered: false };
        node.cut();
      },
    ];
    for (const lose of ways) {
      const node = await sessionNode((peer, operations) => peer.status(operations, Status.Ok, 7));
      const rondo = client(node.url);
      const lock = await rondo.lock('k');
      lock.signal.addEventListener('abort', () => void rondo.close());
      lose(node);
      await until(() => lock.signal.aborted);
      await delay(100);
      const { value } = await rondo.status().next();
      expect(value).toMatchObject({ state: 'closed' });
      expect(node.hellos.length).toBeLessThanOrEqual(2);
      await until(() => node.peers.every(({ socket }) => socket.readyState === socket.CLOSED));
    }
  });
});
