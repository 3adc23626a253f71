// Deadlines and signals: every call ends in time, wherever it stands, and says truly whether a write
// may have been carried out.

import { describe, expect, it } from 'vitest';
import { client, delay, failure, scriptedNode, until, verdict } from './client-harness.js';
import type { SentOperation } from './client-scripted-node.js';

/** Nothing listens there: port 9 of the loopback is the discard service. */
const NOWHERE = 'ws://127.0.0.1:9';

describe('deadlines', () => {
  it('end a call that was sent; only a write may have been carried out', async () => {
    const node = await scriptedNode(() => undefined);
    const rondo = client(node.url);
    await rondo.ready();
    const began = performance.now();
    const [get, put] = await Promise.all([
      verdict(rondo.kv.get('k', { timeoutMs: 30 })),
      verdict(rondo.kv.put('k', 1, { timeoutMs: 60 })),
    ]);
    expect(performance.now() - began).toBeLessThan(1000);
    expect(get).toEqual({ code: 'TIMEOUT', retryable: true, maybeApplied: false });
    expect(put).toEqual({ code: 'TIMEOUT', retryable: true, maybeApplied: true });
  });

  it('end a call that waits for a connection, naming the reason', async () => {
    const rondo = client(NOWHERE);
    const error = await failure(rondo.kv.put('k', 1, { timeoutMs: 50 }));
    expect(error).toMatchObject({ code: 'TIMEOUT', maybeApplied: false, retryable: true });
    expect(error.message).toMatch(/not connected.*ECONNREFUSED.*is the node running/);
    expect(error.cause).toMatchObject({ code: 'CONNECTION_LOST' });
  });

  it('are kept for many calls with deadlines of their own', async () => {
    const node = await scriptedNode(() => undefined);
    const rondo = client(node.url);
    await rondo.ready();
    const began = performance.now();
    const waits = Array.from({ length: 200 }, async (_, index) => {
      const timeoutMs = 20 + ((index * 37) % 200);
      await failure(rondo.kv.get(`k${index}`, { timeoutMs }));
      return performance.now() - began - timeoutMs;
    });
    for (const lateMs of await Promise.all(waits)) {
      expect(lateMs).toBeGreaterThan(-2);
      expect(lateMs).toBeLessThan(150);
    }
  });

  it('pass over a late answer and keep the connection', async () => {
    const held: SentOperation[] = [];
    const node = await scriptedNode((_, operations) => held.push(...operations));
    const rondo = client(node.url);
    await rondo.ready();
    await failure(rondo.kv.get('late', { timeoutMs: 20 }));
    await failure(rondo.kv.scanPage('late', { timeoutMs: 20 }));
    node.script = (peer, operations) => peer.confirm(operations);
    await until(() => held.length === 2);
    const [peer] = node.peers;
    peer?.reply((writer) => {
      writer.result(held[0]?.id ?? 0, 0, 1, 0);
      writer.entry(held[1]?.id ?? 0, 1, Buffer.from('late/1'), Buffer.from('1'), 1, 0);
      writer.closing(held[1]?.id ?? 0, 0, new Uint8Array(0), 1);
    });
    expect(await rondo.kv.get('next')).toBe('next');
    expect(node.peers).toHaveLength(1);
  });

  it('keep an id that timed out taken until its answer comes', async () => {
    const held: SentOperation[] = [];
    const node = await scriptedNode((_, operations) => held.push(...operations));
    node.limits.operationsOutstandingMax = 1;
    const rondo = client(node.url);
    await rondo.ready();
    await failure(rondo.kv.get('first', { timeoutMs: 20 }));
    await until(() => held.length === 1);
    const second = rondo.kv.get('second');
    await delay(20);
    expect(node.operations).toHaveLength(1);
    node.script = (peer, operations) => peer.confirm(operations);
    node.peers[0]?.confirm(held);
    expect(await second).toBe('second');
  });

  it('replace a connection on which answers are due and nothing comes', async () => {
    const node = await scriptedNode((peer, operations) => {
      if (peer.index > 0) peer.confirm(operations);
    });
    const rondo = client(node.url, { timeoutMs: 200 });
    await rondo.ready();
    await failure(rondo.kv.get('silent'));
    expect(await rondo.kv.get('heard')).toBe('heard');
    expect(node.peers).toHaveLength(2);
  });

  it('do not replace a connection for deadlines shorter than the client’s', async () => {
    const node = await scriptedNode((peer, operations) => {
      peer.confirm(operations.filter(({ key }) => key !== 'held'));
    });
    const rondo = client(node.url, { timeoutMs: 5000 });
    await failure(rondo.kv.get('held', { timeoutMs: 10 }));
    expect(await rondo.kv.get('k')).toBe('k');
    expect(node.peers).toHaveLength(1);
  });

  it('hold for the welcome', async () => {
    const node = await scriptedNode();
    node.onHello = (peer) => {
      if (peer.index > 0) node.welcome(peer);
    };
    const rondo = client(node.url, { timeoutMs: 60 });
    await rondo.ready({ timeoutMs: 1000 });
    expect(node.peers).toHaveLength(2);
  });

  it('pass over an answer that lies in the socket while the process was busy', async () => {
    // Timers run before sockets: the answer counted as missing and the connection as dead, which
    // failed every other call on it.
    const node = await scriptedNode((peer, operations) => {
      peer.confirm(operations.filter(({ key }) => key !== 'slow'));
      const slow = operations.filter(({ key }) => key === 'slow');
      setTimeout(() => slow.length > 0 && peer.confirm(slow), 400);
    });
    const rondo = client(node.url, { timeoutMs: 100 });
    await rondo.ready();
    const slow = rondo.kv.put('slow', 1, { timeoutMs: 5000 });
    const get = rondo.kv.get('k');
    await until(() => node.operations.length === 2);
    for (const end = performance.now() + 250; performance.now() < end; );
    expect(await get).toBe('k');
    expect(await slow).toEqual({ revision: 1 });
    expect(node.peers).toHaveLength(1);
  });

  it('are refused where they are none', async () => {
    const rondo = client(NOWHERE);
    // It fired at once, since platforms have no timer that long.
    const ready = await verdict(rondo.ready({ timeoutMs: 2 ** 31 }));
    expect(ready.code).toBe('INVALID_ARGUMENT');
    for (const timeoutMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31]) {
      const { code } = await verdict(rondo.kv.get('k', { timeoutMs }));
      expect(code).toBe('INVALID_ARGUMENT');
    }
  });
});

describe('signals', () => {
  it('that have fired already keep a call from being made', async () => {
    const node = await scriptedNode();
    const rondo = client(node.url);
    await rondo.ready();
    const cause = new Error('no longer wanted');
    const error = await failure(rondo.kv.put('k', 1, { signal: AbortSignal.abort(cause) }));
    expect(error).toMatchObject({
      code: 'CANCELLED',
      maybeApplied: false,
      retryable: false,
      cause,
    });
    await rondo.kv.get('after');
    expect(node.operations.map(({ key }) => key)).toEqual(['after']);
  });

  it('take an unsent call out of the queue', async () => {
    const node = await scriptedNode();
    const rondo = client(node.url);
    const controller = new AbortController();
    const { signal } = controller;
    const put = verdict(rondo.kv.put('gone', 1, { signal }));
    const kept = rondo.kv.get('kept');
    controller.abort();
    expect(await put).toEqual({ code: 'CANCELLED', retryable: false, maybeApplied: false });
    expect(await kept).toBe('kept');
    expect(node.operations.map(({ key }) => key)).toEqual(['kept']);
  });

  it('free the room in the queue that their calls took', async () => {
    const rondo = client(NOWHERE, { queue: { max: 10 } });
    for (let round = 0; round < 500; round++) {
      const controller = new AbortController();
      const { signal } = controller;
      const calls = Array.from({ length: 10 }, () => verdict(rondo.kv.get('k', { signal })));
      controller.abort();
      for (const { code } of await Promise.all(calls)) expect(code).toBe('CANCELLED');
    }
  });

  it('give up a call that was sent, whose answer is then passed over', async () => {
    const held: SentOperation[] = [];
    const node = await scriptedNode((_, operations) => held.push(...operations));
    const rondo = client(node.url);
    const controller = new AbortController();
    const { signal } = controller;
    const put = verdict(rondo.kv.put('k', 1, { signal }));
    const get = verdict(rondo.kv.get('k', { signal }));
    await until(() => held.length === 2);
    controller.abort();
    expect(await put).toEqual({ code: 'CANCELLED', retryable: false, maybeApplied: true });
    expect(await get).toEqual({ code: 'CANCELLED', retryable: false, maybeApplied: false });
    node.peers[0]?.confirm(held);
    node.script = (peer, operations) => peer.confirm(operations);
    expect(await rondo.kv.get('next')).toBe('next');
  });

  it('are let go of when their call ends', async () => {
    const node = await scriptedNode();
    const rondo = client(node.url);
    const { signal } = new AbortController();
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners++;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners--;
      remove(...args);
    };
    await Promise.all(['a', 'b', 'c'].map((key) => rondo.kv.get(key, { signal })));
    expect(listeners).toBe(0);
  });

  it('may be shared by many calls', async () => {
    // Each call had a listener of its own, and platforms look through all of them for each: 30,000
    // calls took 16 seconds.
    const node = await scriptedNode();
    const rondo = client(node.url, { timeoutMs: 20_000 });
    await rondo.ready();
    const controller = new AbortController();
    const { signal } = controller;
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners++;
      add(...args);
    };
    const keys = Array.from({ length: 30_000 }, (_, index) => `k${index}`);
    await Promise.all(keys.map((key) => rondo.kv.get(key, { signal })));
    expect(listeners).toBe(1);
    const given = keys.map((key) => verdict(rondo.kv.get(key, { signal })));
    controller.abort();
    for (const { code } of await Promise.all(given)) expect(code).toBe('CANCELLED');
  });
});
