// What becomes of calls when connections are lost, refused or ended: what is repeated, what is not,
// what a caller is told, and how a client comes back.

import { describe, expect, it } from 'vitest';
import { backoffMs } from '../../ts/client/backoff.js';
import type { ConnectionStatus, Rondo } from '../../ts/client/index.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { CLOSE_CODE_BASE, Status } from '../../ts/wire/status.js';
import { client, delay, failure, scriptedNode, state, until, verdict } from './client-harness.js';
import { ScriptedNode } from './client-scripted-node.js';

/** Nothing listens there: port 9 of the loopback is the discard service. */
const NOWHERE = 'ws://127.0.0.1:9';

const reads: [string, (rondo: Rondo) => Promise<unknown>][] = [
  ['get', (rondo) => rondo.kv.get('k')],
  ['entry', (rondo) => rondo.kv.entry('k')],
];
const writes: [string, (rondo: Rondo) => Promise<unknown>][] = [
  ['put', (rondo) => rondo.kv.put('k', 1)],
  ['put if absent', (rondo) => rondo.kv.put('k', 1, { ifAbsent: true })],
  ['put if revision', (rondo) => rondo.kv.put('k', 1, { ifRevision: 3 })],
  ['delete', (rondo) => rondo.kv.delete('k')],
  ['increment', (rondo) => rondo.kv.increment('k')],
  ['touch', (rondo) => rondo.kv.touch('k', { ttlMs: 5 })],
];

describe('a lost connection', () => {
  for (const [name, call] of reads) {
    it(`has a ${name} repeated by itself`, async () => {
      const node = await scriptedNode((peer, operations) => {
        if (peer.index < 2) peer.socket.terminate();
        else peer.confirm(operations);
      });
      const rondo = client(node.url);
      expect(await call(rondo)).toBeDefined();
      expect(node.operations).toHaveLength(3);
    });
  }

  it('has a page of a scan repeated whole', async () => {
    const node = await scriptedNode((peer, [operation]) => {
      const id = operation?.id ?? 0;
      peer.reply((writer) => {
        writer.entry(id, 1, Buffer.from('a'), Buffer.from('1'), 1, 0);
        if (peer.index > 0) writer.closing(id, 0, new Uint8Array(0), 1);
      });
      if (peer.index === 0) setTimeout(() => peer.socket.terminate(), 20);
    });
    const rondo = client(node.url);
    expect((await rondo.kv.scanPage('')).entries).toHaveLength(1);
  });

  for (const [name, call] of writes) {
    it(`fails a ${name} that was sent, which may have been carried out`, async () => {
      const node = await scriptedNode((peer) => peer.socket.terminate());
      const rondo = client(node.url);
      await rondo.ready();
      expect(await verdict(call(rondo))).toEqual({
        code: 'CONNECTION_LOST',
        retryable: true,
        maybeApplied: true,
      });
      await state(rondo, 'connected');
      expect(node.operations).toHaveLength(1);
    });

    it(`sends a ${name} later that was not sent`, async () => {
      const node = await scriptedNode();
      node.onHello = (peer) => {
        if (peer.index < 3) peer.socket.terminate();
        else node.welcome(peer);
      };
      node.script = (peer, operations) =>
        peer.reply((writer) => {
          for (const { id } of operations) writer.resultWithValue(id, Buffer.from('5'), 1, 0);
        });
      expect(await call(client(node.url))).toBeDefined();
      expect(node.operations).toHaveLength(1);
    });
  }

  it('fails a read in the end that ends every connection', async () => {
    const node = await scriptedNode((peer) => peer.socket.terminate());
    const rondo = client(node.url, { retry: { delayMsMin: 1, delayMsMax: 1 } });
    const error = await failure(rondo.kv.get('poison'));
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', maybeApplied: false });
    expect(node.operations).toHaveLength(9);
  });

  it('keeps the order of reads that are repeated and of calls behind them', async () => {
    const node = await scriptedNode((peer, operations) => {
      if (peer.index === 0) peer.socket.terminate();
      else peer.confirm(operations);
    });
    node.limits.operationsOutstandingMax = 3;
    const rondo = client(node.url, {}, { idFirst: 2 ** 32 - 2 });
    const keys = ['a', 'b', 'c', 'd', 'e'];
    await rondo.ready();
    expect(await Promise.all(keys.map((key) => rondo.kv.get(key)))).toEqual(keys);
    const again = node.operations.slice(-keys.length);
    expect(again.map(({ key }) => key)).toEqual(keys);
  });

  it('shows in the status, with reason, attempt and delay', async () => {
    const node = await scriptedNode((peer) => peer.socket.close(1001, 'stopping'));
    const rondo = client(node.url);
    const seen: ConnectionStatus[] = [];
    const reading = (async () => {
      for await (const status of rondo.status()) seen.push(status);
    })();
    await failure(rondo.kv.put('k', 1));
    await state(rondo, 'connected');
    await rondo.close();
    await reading;
    expect(seen.map((status) => status.state)).toEqual([
      'connecting',
      'connected',
      'reconnecting',
      'connected',
      'closed',
    ]);
    expect(seen[1]).toMatchObject({ welcome: { engine: 'ts', limits: { keyBytesMax: 1024 } } });
    expect(seen[2]).toMatchObject({ attempt: 1, reason: { code: 'CONNECTION_LOST' } });
    expect(seen[2]).toHaveProperty('reason.message', expect.stringContaining('stopping'));
    expect(seen[4]).toEqual({ state: 'closed', reason: undefined });
  });
});

describe('a status that may pass', () => {
  it('has a read repeated until it passes', async () => {
    let refusals = 3;
    const node = await scriptedNode((peer, operations) => {
      if (refusals-- > 0) peer.status(operations, Status.Overloaded);
      else peer.confirm(operations);
    });
    expect(await client(node.url).kv.get('k')).toBe('k');
    expect(node.operations).toHaveLength(4);
  });

  it('fails a read at its deadline or after eight repeats', async () => {
    const node = await scriptedNode((peer, ops) => peer.status(ops, Status.Unavailable));
    const slow = client(node.url, { retry: { delayMsMin: 500, delayMsMax: 500 } });
    expect(await verdict(slow.kv.get('k', { timeoutMs: 30 }))).toMatchObject({ code: 'TIMEOUT' });
    await slow.close();
    node.frames.length = 0;
    const rondo = client(node.url, { retry: { delayMsMin: 1, delayMsMax: 1 } });
    expect(await verdict(rondo.kv.get('k'))).toEqual({
      code: 'UNAVAILABLE',
      retryable: true,
      maybeApplied: false,
    });
    expect(node.operations).toHaveLength(9);
  });

  it('can be given up by a signal while it rests', async () => {
    const node = await scriptedNode((peer, ops) => peer.status(ops, Status.Overloaded));
    const rondo = client(node.url, { retry: { delayMsMin: 500, delayMsMax: 500 } });
    const controller = new AbortController();
    const call = verdict(rondo.kv.get('k', { signal: controller.signal }));
    await until(() => node.operations.length === 1);
    await delay(10);
    controller.abort();
    expect(await call).toMatchObject({ code: 'CANCELLED' });
    await rondo.drain();
    expect(node.operations).toHaveLength(1);
  });

  for (const [name, call] of writes) {
    it(`fails a ${name} at once, which was not carried out`, async () => {
      const node = await scriptedNode((peer, ops) => peer.status(ops, Status.Overloaded));
      expect(await verdict(call(client(node.url)))).toEqual({
        code: 'OVERLOADED',
        retryable: true,
        maybeApplied: false,
      });
      expect(node.operations).toHaveLength(1);
    });
  }

  it('is told from those that do not pass', async () => {
    const node = await scriptedNode();
    const rondo = client(node.url);
    const table: [number, boolean, boolean][] = [
      [Status.AlreadyExists, false, false],
      [Status.RevisionMismatch, false, false],
      [Status.ResourceExhausted, true, false],
      [Status.InvalidArgument, false, false],
      [Status.NotANumber, false, false],
      [Status.Internal, false, true],
      [99, false, true],
    ];
    for (const [status, retryable, maybeApplied] of table) {
      node.script = (peer, operations) => peer.status(operations, status, 7);
      const error = await failure(rondo.kv.put('k', 1));
      expect(error).toMatchObject({ retryable, maybeApplied });
      const isCondition = status === Status.AlreadyExists || status === Status.RevisionMismatch;
      expect(error.revision).toBe(isCondition ? 7 : undefined);
    }
    expect((await failure(rondo.kv.put('k', 1))).code).toBe('STATUS_99');
  });
});

describe('the queue', () => {
  it('is bounded while there is no connection', async () => {
    const rondo = client(NOWHERE, { queue: { max: 3 }, timeoutMs: 60 });
    const calls = [1, 2, 3, 4, 5].map((index) => verdict(rondo.kv.put(`k${index}`, 1)));
    expect((await Promise.all(calls)).map(({ code }) => code)).toEqual([
      'TIMEOUT',
      'TIMEOUT',
      'TIMEOUT',
      'QUEUE_FULL',
      'QUEUE_FULL',
    ]);
    // The room is free again.
    expect(await verdict(rondo.kv.get('k'))).toMatchObject({ code: 'TIMEOUT' });
  });

  it('lets hundreds of thousands of items through in windows', async () => {
    const node = await scriptedNode();
    const rondo = client(node.url, { queue: { max: 5000 } });
    const keys = Array.from({ length: 20_000 }, (_, index) => `k${index}`);
    const found = await rondo.kv.getMany(keys);
    expect(found.size).toBe(20_000);
    expect(found.get('k19999')).toBe('k19999');
  });

  it('lets items through in windows that fit it', async () => {
    // The window was 4,096 whatever the bound, and most items failed with QUEUE_FULL.
    const node = await scriptedNode();
    const rondo = client(node.url, { queue: { max: 100 } });
    const keys = Array.from({ length: 1000 }, (_, index) => `k${index}`);
    expect((await rondo.kv.getMany(keys)).size).toBe(1000);
  });

  it('takes nothing without a connection in the mode fail-fast', async () => {
    const node = await scriptedNode((peer, operations) => {
      if (operations[0]?.key === 'cut') peer.socket.terminate();
      else peer.confirm(operations);
    });
    const rondo = client(node.url, {
      queue: { mode: 'fail-fast' },
      retry: { delayMsMin: 100, delayMsMax: 100 },
    });
    const offline = { code: 'OFFLINE', retryable: true, maybeApplied: false };
    expect(await verdict(rondo.kv.put('early', 1))).toEqual(offline);
    await rondo.ready();
    expect(await rondo.kv.get('k')).toBe('k');
    // Neither is a read repeated that was under way.
    expect(await verdict(rondo.kv.get('cut'))).toMatchObject({ code: 'CONNECTION_LOST' });
    expect(await verdict(rondo.kv.get('k'))).toEqual(offline);
    await state(rondo, 'connected');
    expect(await rondo.kv.get('k')).toBe('k');
  });
});

describe('a refusal for good', () => {
  for (const status of [Status.Unauthenticated, Status.ProtocolMismatch]) {
    it(`with close code ${CLOSE_CODE_BASE + status} stops the client and fails every call`, async () => {
      const node = await scriptedNode();
      node.onHello = (peer) => peer.socket.close(CLOSE_CODE_BASE + status, 'no');
      const rondo = client(node.url, { token: 'wrong' });
      const code = status === Status.Unauthenticated ? 'UNAUTHENTICATED' : 'PROTOCOL_MISMATCH';
      const refused = { code, retryable: false, maybeApplied: false };
      expect(await verdict(rondo.kv.put('k', 1))).toEqual(refused);
      expect(await verdict(rondo.ready())).toEqual(refused);
      expect(await verdict(rondo.kv.get('later'))).toEqual(refused);
      await delay(60);
      expect(node.hellos).toHaveLength(1);
      const last = await rondo.status().next();
      expect(last.value).toMatchObject({ state: 'closed', reason: { code } });
    });
  }

  it('is found by the client, too, where the node speaks another protocol', async () => {
    const node = await scriptedNode();
    node.protocol = 2;
    const rondo = client(node.url);
    expect(await verdict(rondo.kv.get('k'))).toMatchObject({ code: 'PROTOCOL_MISMATCH' });
    await delay(60);
    expect(node.hellos).toHaveLength(1);
  });

  it('is no other close code: the client comes back', async () => {
    const node = await scriptedNode();
    node.onHello = (peer) => {
      const codes = [Status.TooManyConnections, Status.HelloTimeout, Status.SlowReader];
      const status = codes[peer.index];
      if (status === undefined) node.welcome(peer);
      else peer.socket.close(CLOSE_CODE_BASE + status, '');
    };
    expect(await client(node.url).kv.get('k')).toBe('k');
    expect(node.hellos).toHaveLength(4);
  });
});

describe('tries', () => {
  it('end after retry.attempts in a row', async () => {
    const node = await scriptedNode();
    node.onHello = (peer) => peer.socket.terminate();
    const rondo = client(node.url, { retry: { attempts: 2, delayMsMin: 1, delayMsMax: 2 } });
    const error = await failure(rondo.kv.put('k', 1));
    expect(error).toMatchObject({ code: 'OFFLINE', maybeApplied: false });
    expect(node.hellos).toHaveLength(3);
    expect(await verdict(rondo.ready())).toMatchObject({ code: 'OFFLINE' });
  });

  it('back off against a node that welcomes and throws out, and begin anew after an answer', async () => {
    const node = await scriptedNode();
    node.script = (peer, operations) => {
      peer.confirm(operations);
      setTimeout(() => peer.socket.terminate(), 5);
    };
    node.onHello = (peer) => {
      node.welcome(peer);
      if (peer.index < 4) peer.socket.close(CLOSE_CODE_BASE + Status.SlowReader, '');
    };
    const rondo = client(node.url, { retry: { attempts: 6, delayMsMin: 1, delayMsMax: 200 } });
    const attempts: number[] = [];
    for await (const status of rondo.status()) {
      if (status.state === 'connected' && node.hellos.length === 5) await rondo.kv.get('k');
      if (status.state === 'reconnecting') attempts.push(status.attempt);
      if (attempts.length === 5) break;
    }
    expect(attempts).toEqual([1, 2, 3, 4, 1]);
  });

  it('back off against a node whose answers are wrong', async () => {
    // An answer was taken as proof of a good connection, even where it ended the connection.
    const node = await scriptedNode((peer, operations) => {
      peer.confirm(operations);
      peer.confirm(operations);
    });
    const rondo = client(node.url, { retry: { attempts: 4, delayMsMin: 1, delayMsMax: 200 } });
    const ended: Promise<unknown>[] = [];
    const attempts: number[] = [];
    for await (const status of rondo.status()) {
      if (status.state === 'connected') ended.push(rondo.kv.get('k'), rondo.kv.get('l'));
      if (status.state === 'reconnecting') attempts.push(status.attempt);
    }
    expect(attempts).toEqual([1, 2, 3, 4]);
    expect(await Promise.all(ended)).toHaveLength(10);
  });

  it('wait longer each time, with jitter, within their bounds', () => {
    const seeds = [0, 0.25, 0.5, 0.999];
    for (const random of seeds) {
      for (let attempt = 1; attempt < 2000; attempt++) {
        const ms = backoffMs(attempt, 50, 2000, () => random);
        expect(ms).toBeGreaterThanOrEqual(50);
        expect(ms).toBeLessThanOrEqual(Math.min(2000, 50 * 2 ** attempt));
        if (random === 0.5) expect(ms).toBe(50 + (Math.min(2000, 50 * 2 ** attempt) - 50) / 2);
      }
    }
    expect(backoffMs(3, 10, 10, () => 0.7)).toBe(10);
  });

  it('use the chance that they are given', async () => {
    const delays = async (random: () => number): Promise<number[]> => {
      const node = await scriptedNode();
      node.onHello = (peer) => peer.socket.terminate();
      const rondo = client(node.url, { retry: { delayMsMin: 1, delayMsMax: 8 } }, { random });
      const seen: number[] = [];
      for await (const status of rondo.status()) {
        if (status.state === 'reconnecting') seen.push(status.delayMs);
        if (seen.length === 4) break;
      }
      return seen;
    };
    expect(await delays(() => 0)).toEqual([1, 1, 1, 1]);
    expect(await delays(() => 0.5)).toEqual([1.5, 2.5, 4.5, 4.5]);
  });

  it('reach a node that starts late on the same port', async () => {
    const first = await scriptedNode();
    const { url } = first;
    await first.stop();
    const rondo = client(url);
    const call = rondo.kv.get('k');
    await delay(40);
    const second = new ScriptedNode();
    await second.listen(Number(new URL(url).port));
    try {
      expect(await call).toBe('k');
    } finally {
      await rondo.close();
      await second.stop();
    }
  });
});

describe('the end', () => {
  it('by close fails what has no answer with CLOSED', async () => {
    const node = await scriptedNode(() => undefined);
    const rondo = client(node.url);
    await rondo.ready();
    const sent = verdict(rondo.kv.put('sent', 1));
    const read = verdict(rondo.kv.get('read'));
    await until(() => node.operations.length === 2);
    const unsent = verdict(rondo.kv.put('unsent', 1));
    await rondo.close();
    expect(await sent).toEqual({ code: 'CLOSED', retryable: false, maybeApplied: true });
    expect(await read).toEqual({ code: 'CLOSED', retryable: false, maybeApplied: false });
    expect(await unsent).toEqual({ code: 'CLOSED', retryable: false, maybeApplied: false });
    expect(await verdict(rondo.kv.get('k'))).toMatchObject({ code: 'CLOSED' });
    await rondo.close();
  });

  it('by drain waits for answers and takes no new calls', async () => {
    const node = await scriptedNode((peer, operations) => {
      setTimeout(() => peer.confirm(operations), 30);
    });
    const rondo = client(node.url);
    const calls = ['a', 'b'].map((key) => rondo.kv.get(key));
    const drained = rondo.drain();
    expect(await verdict(rondo.kv.get('late'))).toMatchObject({ code: 'CLOSED' });
    await drained;
    expect(await Promise.all(calls)).toEqual(['a', 'b']);
    const [peer] = node.peers;
    await until(() => peer?.socket.readyState === 3);
  });

  it('by drain lets a whole of several calls come to its end', async () => {
    // The first call of an update was answered and its second refused.
    const node = await scriptedNode((peer, operations) => {
      setTimeout(() => {
        peer.status(
          operations.filter(({ code }) => code === OperationCode.Get),
          Status.NotFound,
        );
        peer.status(
          operations.filter(({ code }) => code === OperationCode.Put),
          Status.Ok,
        );
      }, 20);
    });
    const rondo = client(node.url);
    const updated = rondo.kv.update('k', () => 1);
    const keys = Array.from({ length: 5000 }, (_, index) => `k${index}`);
    const put = rondo.kv.putMany(keys.map((key) => [key, 1] as const));
    const drained = rondo.drain();
    expect(await verdict(rondo.kv.getMany(['late']))).toMatchObject({ code: 'CLOSED' });
    expect(await updated).toMatchObject({ changed: true });
    await put;
    await drained;
    expect(node.operations).toHaveLength(5002);
  });

  it('by close, called again, is waited for, too', async () => {
    // The second promise was fulfilled before the socket had closed.
    const node = await scriptedNode();
    const rondo = client(node.url);
    await rondo.ready();
    void rondo.close();
    await rondo.close();
    expect(node.peers[0]?.socket.readyState).toBeGreaterThan(1);
  });

  it('by drain comes even where nothing answers', async () => {
    const node = await scriptedNode(() => undefined);
    const rondo = client(node.url, { timeoutMs: 40 });
    await rondo.ready({ timeoutMs: 5_000 });
    const call = verdict(rondo.kv.put('k', 1));
    await rondo.drain();
    expect(await call).toMatchObject({ code: 'TIMEOUT', maybeApplied: true });
  });

  it('by drain comes before there is a connection, and by close, too', async () => {
    const rondo = client(NOWHERE);
    await rondo.drain();
    expect(await rondo.status().next()).toMatchObject({ value: { state: 'closed' } });
    const other = client(NOWHERE);
    await other.close();
    expect(await verdict(other.ready())).toMatchObject({ code: 'CLOSED' });
  });

  it('comes at the end of a scope with await using', async () => {
    const node = await scriptedNode((peer, operations) => {
      setTimeout(() => peer.confirm(operations), 20);
    });
    let call: Promise<unknown> | undefined;
    {
      await using rondo = client(node.url);
      call = rondo.kv.get('k');
    }
    expect(await call).toBe('k');
  });

  it('ends the status of every reader, waiting or not', async () => {
    const node = await scriptedNode();
    const rondo = client(node.url);
    await rondo.ready();
    const readers = [rondo.status(), rondo.status()];
    for (const reader of readers) await reader.next();
    const pending = readers[0]?.next();
    await rondo.close();
    expect((await pending)?.value).toEqual({ state: 'closed', reason: undefined });
    expect((await readers[0]?.next())?.done).toBe(true);
    expect((await readers[1]?.next())?.value).toMatchObject({ state: 'closed' });
    expect((await readers[1]?.next())?.done).toBe(true);
  });
});

describe('ready', () => {
  it('tells the welcome, or fails by deadline, signal or refusal', async () => {
    const node = await scriptedNode();
    const rondo = client(node.url, { token: 'geheim' });
    expect(await rondo.ready()).toMatchObject({ version: '0.0.0-scripted', connections: 9 });
    expect(rondo.welcome?.uptimeMs).toBe(5);
    expect(node.hellos[0]?.token).toBe('geheim');
    expect(node.paths).toEqual(['/']);

    const absent = client(NOWHERE);
    const error = await failure(absent.ready({ timeoutMs: 40 }));
    expect(error).toMatchObject({ code: 'TIMEOUT' });
    expect(error.message).toContain('ECONNREFUSED');
    const signal = AbortSignal.timeout(20);
    expect(await verdict(absent.ready({ signal }))).toMatchObject({ code: 'CANCELLED' });
  });
});
