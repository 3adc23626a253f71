// Sessions of the client: what a hello asks for, what is repeated when the session goes on, what is lost when
// it does not, and how it is kept alive.

import { describe, expect, it } from 'vitest';
import { Call, Shape } from '../../ts/client/call.js';
import type { ConnectionStatus, ConnectOptions, Rondo } from '../../ts/client/index.js';
import { Outstanding } from '../../ts/client/outstanding.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { FLAG_ONCE } from '../../ts/wire/layout.js';
import { CLOSE_CODE_BASE, Status } from '../../ts/wire/status.js';
import { client, delay, failure, scriptedNode, state, until, verdict } from './client-harness.js';
import { type Script, type ScriptedNode, secretOf } from './client-scripted-node.js';

const noAnswer: Script = () => undefined;

async function sessionNode(script?: Script): Promise<ScriptedNode> {
  const node = await scriptedNode(script);
  node.sessions = { resumes: true, answersRemembered: true };
  return node;
}

/** A client that is connected, with the statuses that it tells. */
async function connected(
  node: ScriptedNode,
  options: Partial<ConnectOptions> = {},
): Promise<[Rondo, ConnectionStatus[]]> {
  const rondo = client(node.url, options);
  const seen: ConnectionStatus[] = [];
  void (async () => {
    for await (const status of rondo.status()) seen.push(status);
  })();
  await rondo.ready();
  return [rondo, seen];
}

const sessionsOf = (seen: readonly ConnectionStatus[]): unknown[] =>
  seen.filter((status) => status.state === 'connected').map(({ session }) => session);

describe('a session', () => {
  it('is asked for by default, not where it is switched off, and for as long as told', async () => {
    const node = await sessionNode();
    const [, seen] = await connected(node);
    expect(node.hellos[0]).toMatchObject({ sessionTtlMs: 10_000, session: 0 });
    expect(sessionsOf(seen)).toEqual([{ id: 1, resumed: false }]);
    const [, without] = await connected(node, { session: false });
    expect(node.hellos[1]).toMatchObject({ sessionTtlMs: 0, session: 0 });
    expect(sessionsOf(without)).toEqual([undefined]);
    await connected(node, { session: { ttlMs: 2500 } });
    expect(node.hellos[2]).toMatchObject({ sessionTtlMs: 2500 });
    for (const ttlMs of [0, 999, 86_400_001, 1000.5, Number.NaN]) {
      const connecting = async (): Promise<Rondo> => client(node.url, { session: { ttlMs } });
      expect(await verdict(connecting())).toMatchObject({ code: 'TTL_OUT_OF_RANGE' });
    }
  });

  it('is resumed by id and secret after a lost connection', async () => {
    const node = await sessionNode();
    const [rondo, seen] = await connected(node);
    node.cut();
    await until(() => node.hellos.length === 2);
    await state(rondo, 'connected');
    expect(node.hellos[1]).toMatchObject({ session: 1, sessionSecret: secretOf(1) });
    await until(() => sessionsOf(seen).length === 2);
    expect(sessionsOf(seen)[1]).toEqual({ id: 1, resumed: true });
  });

  it('that has ended is replaced by the next one', async () => {
    const node = await sessionNode();
    const [, seen] = await connected(node);
    node.sessions = { resumes: false, answersRemembered: false };
    node.cut();
    await until(() => sessionsOf(seen).length === 2);
    expect(sessionsOf(seen)[1]).toEqual({ id: 2, resumed: false });
    node.sessions.resumes = true;
    node.cut();
    await until(() => node.hellos.length === 3);
    expect(node.hellos[2]).toMatchObject({ session: 2, sessionSecret: secretOf(2) });
  });

  it('that the node ends is replaced over another connection', async () => {
    const node = await sessionNode();
    const [, seen] = await connected(node);
    node.peers[0]?.socket.close(CLOSE_CODE_BASE + Status.SessionUnknown, 'ended');
    await until(() => sessionsOf(seen).length === 2);
    expect(node.hellos[1]).toMatchObject({ session: 0 });
    expect(sessionsOf(seen)[1]).toEqual({ id: 2, resumed: false });
  });

  for (const [status, code] of [
    [Status.SessionMoved, 'SESSION_MOVED'],
    [Status.SessionForbidden, 'SESSION_FORBIDDEN'],
  ] as const) {
    it(`stops the client for good at ${code}`, async () => {
      const node = await sessionNode();
      const [rondo] = await connected(node);
      node.peers[0]?.socket.close(CLOSE_CODE_BASE + status, 'no');
      await state(rondo, 'closed');
      expect(await verdict(rondo.kv.get('k'))).toMatchObject({ code, retryable: false });
      expect(node.hellos).toHaveLength(1);
    });
  }

  it('is not believed where the welcome cannot be', async () => {
    const node = await sessionNode();
    const wrong = [
      { session: 7, sessionTtlMs: 1000, sessionResumed: true },
      { session: 7, sessionTtlMs: 1000, sessionSecret: new Uint8Array(3) },
      { session: 7, sessionTtlMs: 0, sessionSecret: secretOf(7) },
    ];
    node.onHello = (peer) => node.welcome(peer, wrong[peer.index] ?? {});
    const [, seen] = await connected(node);
    const reasons = seen.flatMap((status) =>
      status.state === 'reconnecting' ? [status.reason.code] : [],
    );
    expect(reasons).toEqual(['PROTOCOL_ERROR', 'PROTOCOL_ERROR', 'PROTOCOL_ERROR']);
  });
});

describe('operations without an answer', () => {
  it('are sent again under their ids where the session remembers', async () => {
    const node = await sessionNode((peer, operations) => {
      if (peer.index === 0) peer.socket.terminate();
      else peer.confirm(operations);
    });
    const [rondo] = await connected(node);
    const put = rondo.kv.put('put', { a: 'ä' });
    const get = rondo.kv.get('get');
    const removed = rondo.kv.delete('delete');
    const touched = rondo.kv.touch('touch', { ttlMs: 9 });
    expect(await put).toEqual({ revision: 1 });
    expect(await get).toBe('get');
    expect(await removed).toBe(true);
    expect(await touched).toEqual({ revision: 1 });
    expect(node.frames).toHaveLength(2);
    expect(node.frames[1]).toEqual(node.frames[0]);
    const once = node.operations.slice(0, 4).map(({ flags }) => flags & FLAG_ONCE);
    expect(once).toEqual([FLAG_ONCE, 0, FLAG_ONCE, FLAG_ONCE]);
  });

  it('are sent before those that wait, and in their order', async () => {
    const node = await sessionNode(noAnswer);
    node.limits.operationsOutstandingMax = 3;
    const [rondo] = await connected(node);
    const keys = ['a', 'b', 'c', 'd', 'e'];
    const puts = keys.map((key) => rondo.kv.put(key, 1));
    await until(() => node.operations.length === 3);
    node.script = (peer, operations) => peer.confirm(operations);
    node.cut();
    await Promise.all(puts);
    const again = node.operations.slice(3);
    expect(again.map(({ key }) => key)).toEqual(keys);
    expect(again.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5]);
  });

  it('fail as writes where the session goes on without its memory; reads are repeated', async () => {
    const node = await sessionNode(noAnswer);
    const [rondo] = await connected(node);
    const put = verdict(rondo.kv.put('k', 1));
    const get = rondo.kv.get('k');
    await until(() => node.operations.length === 2);
    node.sessions = { resumes: true, answersRemembered: false };
    node.script = (peer, operations) => peer.confirm(operations);
    node.cut();
    expect(await put).toEqual({ code: 'CONNECTION_LOST', retryable: true, maybeApplied: true });
    expect(await get).toBe('k');
    expect(node.operations).toHaveLength(3);
  });

  it('end at their deadline and by their signal while there is no connection', async () => {
    const node = await sessionNode(noAnswer);
    const [rondo] = await connected(node);
    const controller = new AbortController();
    const late = verdict(rondo.kv.put('late', 1, { timeoutMs: 80 }));
    const given = verdict(rondo.kv.put('given', 1, { signal: controller.signal }));
    const kept = rondo.kv.put('kept', 1);
    await until(() => node.operations.length === 3);
    node.onHello = () => undefined;
    node.cut();
    await state(rondo, 'reconnecting');
    controller.abort();
    expect(await given).toEqual({ code: 'CANCELLED', retryable: false, maybeApplied: true });
    expect(await late).toEqual({ code: 'TIMEOUT', retryable: true, maybeApplied: true });
    node.onHello = undefined;
    node.script = (peer, operations) => peer.confirm(operations);
    node.cut();
    expect(await kept).toEqual({ revision: 1 });
    expect(node.operations.slice(3).map(({ key }) => key)).toEqual(['kept']);
  });

  it('are no more at a time than the session remembers', async () => {
    const held: number[] = [];
    const node = await sessionNode((peer, operations) => {
      held.push(operations.length);
      setTimeout(() => peer.confirm(operations), 5);
    });
    node.limits.answersRememberedMax = 10;
    const [rondo] = await connected(node);
    await Promise.all(Array.from({ length: 35 }, (_, index) => rondo.kv.put(`k${index}`, 1)));
    expect(held).toEqual([10, 10, 10, 5]);
    // Reads are bounded by other things.
    await Promise.all(Array.from({ length: 35 }, (_, index) => rondo.kv.get(`k${index}`)));
    expect(held.slice(4)).toEqual([35]);
  });

  it('carry no flag and are not repeated without a session', async () => {
    const node = await sessionNode((peer) => peer.socket.terminate());
    const [rondo] = await connected(node, { session: false });
    expect(await verdict(rondo.kv.put('k', 1))).toMatchObject({ code: 'CONNECTION_LOST' });
    expect(node.operations.map(({ flags }) => flags & FLAG_ONCE)).toEqual([0]);
  });

  it('that the node refused for want of the session go to the next one', async () => {
    const node = await sessionNode((peer, operations) => {
      if (peer.index === 0) peer.status(operations, Status.SessionUnknown);
      else peer.confirm(operations);
    });
    const [rondo, seen] = await connected(node);
    const ephemeral = verdict(rondo.kv.put('e', 1, { ephemeral: true }));
    expect(await rondo.kv.put('k', 1)).toEqual({ revision: 1 });
    expect(await ephemeral).toEqual({
      code: 'SESSION_UNKNOWN',
      retryable: true,
      maybeApplied: false,
    });
    expect(sessionsOf(seen).at(-1)).toEqual({ id: 2, resumed: false });
  });

  it('never get an id whose answer may be remembered, when ids begin anew', () => {
    const outstanding = new Outstanding(2 ** 32 - 3);
    const used: number[] = [];
    const answer = (): void => {
      outstanding.next();
      const call = new Call(2, Shape.Written, FLAG_ONCE, 'k', '1', 0, 0, 0, undefined);
      outstanding.add(call);
      used.push(call.id);
      outstanding.remove(call);
      outstanding.remember(call);
    };
    for (let count = 0; count < 5; count++) answer();
    expect(used).toEqual([2 ** 32 - 3, 2 ** 32 - 2, 2 ** 32 - 1, 1, 2]);
    // As after four billion reads.
    (outstanding as unknown as { idNext: number }).idNext = 2 ** 32 - 3;
    outstanding.held.add(3);
    // The three before the end are remembered, and so are 1 and 2; 3 is a hold's.
    answer();
    expect(used.at(-1)).toBe(4);
    outstanding.forgetRemembered();
    (outstanding as unknown as { idNext: number }).idNext = 1;
    answer();
    expect(used.at(-1)).toBe(1);
  });
});

describe('signs of life', () => {
  it('are sent where nothing else is', async () => {
    const node = await sessionNode();
    node.sessions = { resumes: true, answersRemembered: true, ttlMs: 450 };
    const [, seen] = await connected(node);
    await delay(1000);
    expect(node.operations.length).toBeGreaterThanOrEqual(4);
    expect(new Set(node.operations.map(({ code }) => code))).toEqual(
      new Set([OperationCode.Renew]),
    );
    expect(sessionsOf(seen)).toHaveLength(1);
  });

  it('are not sent where other operations are answered', async () => {
    const node = await sessionNode();
    node.sessions = { resumes: true, answersRemembered: true, ttlMs: 900 };
    const [rondo] = await connected(node);
    for (let round = 0; round < 60; round++) {
      await rondo.kv.get('k');
      await delay(10);
    }
    expect(new Set(node.operations.map(({ code }) => code))).toEqual(new Set([OperationCode.Get]));
  });

  it('without an answer give the session up by this side’s clock, and another is made', async () => {
    const node = await sessionNode(noAnswer);
    node.sessions = { resumes: true, answersRemembered: true, ttlMs: 600 };
    const rondo = client(node.url, { timeoutMs: 5000 });
    await rondo.ready();
    // The network takes everything and gives nothing back, not even to another connection.
    node.onHello = () => undefined;
    await until(() => node.hellos.length === 2);
    expect(node.hellos[1]).toMatchObject({ session: 1 });
    await delay(400);
    node.onHello = undefined;
    node.cut();
    await until(() => node.hellos.length >= 3);
    expect(node.hellos[2]).toMatchObject({ session: 0 });
  });
});

describe('the end of a session', () => {
  const isEnd = ({ code }: { code: number }): boolean => code === OperationCode.EndSession;

  it('comes with drain, which waits for it', async () => {
    const node = await sessionNode((peer, operations) => {
      setTimeout(() => peer.confirm(operations), operations.some(isEnd) ? 60 : 0);
    });
    const [rondo] = await connected(node);
    const began = performance.now();
    const put = rondo.kv.put('k', 1);
    await rondo.drain();
    await put;
    expect(performance.now() - began).toBeGreaterThan(50);
    expect(node.operations.filter(isEnd)).toHaveLength(1);
  });

  it('comes with drain where the node closes in place of an answer', async () => {
    const node = await sessionNode((peer, operations) => {
      if (operations.some(isEnd)) {
        peer.socket.close(CLOSE_CODE_BASE + Status.SessionUnknown, 'ended');
      } else peer.confirm(operations);
    });
    const [rondo] = await connected(node);
    await rondo.drain();
    const { value } = await rondo.status().next();
    expect(value).toEqual({ state: 'closed', reason: undefined });
    await delay(40);
    expect(node.hellos).toHaveLength(1);
  });

  it('comes with close, which does not wait, and sends nothing else', async () => {
    const node = await sessionNode(noAnswer);
    const [rondo] = await connected(node);
    const unsent = verdict(rondo.kv.put('unsent', 1));
    const began = performance.now();
    await rondo.close();
    expect(performance.now() - began).toBeLessThan(900);
    expect(await unsent).toEqual({ code: 'CLOSED', retryable: false, maybeApplied: false });
    await until(() => node.operations.length === 1);
    expect(node.operations.map(({ code }) => code)).toEqual([OperationCode.EndSession]);
  });

  it('is not for a client without one', async () => {
    const node = await sessionNode();
    const [rondo] = await connected(node, { session: false });
    await rondo.drain();
    expect(node.operations).toHaveLength(0);
    const error = await failure(rondo.kv.put('e', 1, { ephemeral: true }));
    expect(error.code).toBe('SESSION_REQUIRED');
  });
});
