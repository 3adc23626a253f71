// The load generator believes no server: whatever is wrong with an answer ends the run with a reason,
// exit code 1 and no figures. And it does exactly the work that it was told.

import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Peer, ScriptedNode, type SentOperation } from '../unit/client-scripted-node.js';
import {
  BUILD_TIMEOUT_MS,
  Generator,
  isPut,
  redisScript,
  ScriptedSocketServer,
  Store,
} from './load-fixture.js';
import { tick, until } from './server-fixture.js';

let generator: Generator;
let node: ScriptedNode;
const servers: ScriptedSocketServer[] = [];

beforeAll(() => {
  generator = new Generator();
}, BUILD_TIMEOUT_MS);
beforeEach(async (context) => {
  generator.skipIfAbsent(context);
  node = await ScriptedNode.start(new Store().answer);
});
afterEach(async () => {
  await generator?.stop();
  await node?.stop();
  for (const server of servers.splice(0)) await server.stop();
});
afterAll(() => generator?.stop());

async function serve(...script: Parameters<typeof ScriptedSocketServer.start>): Promise<string> {
  const server = await ScriptedSocketServer.start(...script);
  servers.push(server);
  return server.address;
}

/** One connection and few keys: what a test says comes last and wins. */
function options(more = ''): string {
  const address = node.url.replace('ws://', '');
  return `--address ${address} --connections 1 --keys 100 --duration 300ms --warm-up 50ms ${more}`;
}

/** Fills the keys in as it should be, and then does what `script` says. */
function afterPrefill(script: (peer: Peer, operations: SentOperation[], store: Store) => void) {
  const store = new Store();
  node.script = (peer, operations) => {
    if (operations.every(isPut)) store.reply(peer, operations);
    else script(peer, operations, store);
  };
}

describe('a run', () => {
  it('gives one JSON object of a stable shape', async () => {
    const report = await generator.report(options('--prefill --read-ratio 0.5 --outstanding 4'));
    expect(Object.keys(report)).toEqual([
      'schema',
      'target',
      'config',
      'operations',
      'seconds',
      'operationsPerSecond',
      'reads',
      'writes',
      'misses',
      'unsent',
      'latencyMicros',
      'bytesSent',
      'bytesReceived',
      'clientCpuSeconds',
      'prefillSeconds',
      'readBack',
      'server',
    ]);
    expect(report).toMatchObject({
      schema: 1,
      target: 'rondo',
      seconds: 0.3,
      misses: 0,
      unsent: 0,
    });
    expect(report.config).toMatchObject({ connections: 1, outstanding: 4, batch: null, seed: 1 });
    expect(report.server).toMatchObject({ name: 'rondo' });
    expect(report.operations).toBe(report.reads + report.writes);
    expect(report.operationsPerSecond).toBeCloseTo(report.operations / 0.3, 0);
    expect(report.reads / report.operations).toBeGreaterThan(0.3);
    expect(report.reads / report.operations).toBeLessThan(0.7);
    const { p50, p90, p99, p999, max } = report.latencyMicros;
    expect([p50, p90, p99, p999, max]).toEqual([p50, p90, p99, p999, max].sort((a, b) => a - b));
    expect(Math.min(p50, report.bytesSent, report.bytesReceived)).toBeGreaterThan(0);
  });

  it('gives a table for people', async () => {
    const run = generator.start(options('--prefill'));
    expect(await run.ended).toEqual({ code: 0, signal: null });
    expect(run.stdout).toMatch(/^server +rondo .*\n(.*\n)*throughput +[\d,]+ operations\/s/);
  });

  it('fills in every key once', async () => {
    await generator.report(options('--prefill --connections 3 --keys 1000'));
    const filled = node.frames.flat().filter(isPut);
    expect(filled.map(({ key }) => key).sort()).toEqual(
      Array.from({ length: 1000 }, (_, key) => `user:${`${key}`.padStart(12, '0')}`),
    );
  });

  it('does the same work again with the same seed, and other work with another', async () => {
    const work = async (seed: number) => {
      const from = node.frames.length;
      const more = `--allow-missing --read-ratio 0.5 --distribution zipf:0.99 --read-back 0 --seed ${seed}`;
      await generator.report(options(more));
      return node.frames.slice(from).flatMap((frame) => frame.map(({ code, key }) => code + key));
    };
    const first = await work(7);
    const second = await work(7);
    const other = await work(8);
    const length = Math.min(first.length, second.length, other.length);
    expect(length).toBeGreaterThan(20);
    expect(second.slice(0, length)).toEqual(first.slice(0, length));
    expect(other.slice(0, length)).not.toEqual(first.slice(0, length));
  });

  it('keeps exactly the operations in flight that it was told', async () => {
    const waiting: SentOperation[] = [];
    const depths = new Set<number>();
    afterPrefill((peer, operations, store) => {
      waiting.push(...operations);
      depths.add(waiting.length);
      // In steps that fit no frame, so that answers and requests fall out of step.
      if (waiting.length === 8) store.reply(peer, waiting.splice(0, 3));
      else if (depths.size > 1000) throw new Error('the depth wanders');
    });
    const text = await generator.failure(
      options('--prefill --outstanding 8 --duration 500ms --timeout 400ms'),
    );
    // At the end five are left that the script never answers.
    expect(text).toMatch(/stalled: no answer for 0\.4 s with 5 operations outstanding/);
    expect([...depths]).toEqual([8]);
  });

  it('sends frames of the size that it was told', async () => {
    afterPrefill((peer, operations, store) => {
      for (const operation of operations) store.reply(peer, [operation]);
    });
    await generator.report(options('--prefill --outstanding 12 --batch 4'));
    const sizes = node.frames.filter((frame) => !frame.every(isPut)).map(({ length }) => length);
    expect(new Set(sizes)).toEqual(new Set([4]));
  });

  it('takes answers in any order', async () => {
    const waiting: SentOperation[] = [];
    afterPrefill((peer, operations, store) => {
      if (waiting.length === 0) {
        // At the end of the run fewer than four may be left.
        setTimeout(() => answer(peer, store), 100);
      }
      waiting.push(...operations);
      if (waiting.length === 4) answer(peer, store);
    });
    const answer = (peer: Peer, store: Store) => {
      for (const operation of waiting.splice(0).reverse()) store.reply(peer, [operation]);
    };
    const report = await generator.report(options('--prefill --outstanding 4 --batch 1'));
    expect(report.reads).toBeGreaterThan(0);
  });

  it('answers pings', async () => {
    let pongs = 0;
    afterPrefill((peer, operations, store) => {
      if (pongs === 0) {
        pongs = 1;
        peer.socket.ping('are you there');
        peer.socket.once('pong', (data) => {
          pongs += data.toString() === 'are you there' ? 1 : 0;
        });
      }
      store.reply(peer, operations);
    });
    await generator.report(options('--prefill'));
    expect(pongs).toBe(2);
  });

  it('shows where it is, in plain lines where there is no terminal', async () => {
    const run = generator.start(options('--prefill --duration 5500ms'));
    await run.ended;
    expect(run.stderr).toMatch(
      /^measuring \d\.\d of 5\.5 s: [\d,]+ operations\/s, p99 [\d,]+ µs\n$/,
    );
  });
});

describe('a wrong answer ends the run', () => {
  it('with another value', async () => {
    afterPrefill((peer, operations) =>
      peer.reply((writer) => {
        for (const { id } of operations) writer.resultWithValue(id, Buffer.alloc(64, 'x'), 1, 0);
      }),
    );
    expect(await generator.failure(options('--prefill'))).toMatch(
      /connection 0: wrong answer: get user:\d{12}: another value: "xxx/,
    );
  });

  it('with the value of another key', async () => {
    afterPrefill((peer, operations, store) => {
      const stored = [...store.values.values()];
      peer.reply((writer) => {
        for (const { id } of operations) writer.resultWithValue(id, stored[0] as Uint8Array, 1, 0);
      });
    });
    expect(await generator.failure(options('--prefill'))).toMatch(/another value/);
  });

  it('with a value of another length, and a hint', async () => {
    await generator.report(options('--prefill'));
    const text = await generator.failure(options('--value-bytes 32'));
    expect(text).toMatch(/32 were expected: was it written with another --value-bytes\?/);
  });

  it('with an error', async () => {
    afterPrefill((peer, operations) => peer.status(operations, 12));
    expect(await generator.failure(options('--prefill'))).toMatch(
      /answered get user:\d{12} with an error: Overloaded \(12\)/,
    );
  });

  it('with an absent key, unless that is allowed', async () => {
    expect(await generator.failure(options())).toMatch(/no such key; run with --prefill/);
    const report = await generator.report(options('--allow-missing'));
    expect(report.misses).toBe(report.reads);
  });

  it('with an id that is not in flight', async () => {
    afterPrefill((peer, operations, store) =>
      store.reply(
        peer,
        operations.map((operation) => ({ ...operation, id: operation.id + 1 })),
      ),
    );
    expect(await generator.failure(options('--prefill'))).toMatch(/is not outstanding/);
  });

  it('with an answer given twice', async () => {
    afterPrefill((peer, operations, store) => store.reply(peer, [...operations, ...operations]));
    expect(await generator.failure(options('--prefill'))).toMatch(/is not outstanding/);
  });

  it('with a get that is answered as a put', async () => {
    afterPrefill((peer, operations) =>
      peer.reply((writer) => {
        for (const { id } of operations) writer.result(id, 0, 1, 0);
      }),
    );
    expect(await generator.failure(options('--prefill'))).toMatch(/wrong answer: get/);
  });

  it('with an answer that never comes', async () => {
    let isFirst = true;
    afterPrefill((peer, operations, store) => {
      store.reply(peer, isFirst ? operations.slice(1) : operations);
      isFirst = false;
    });
    // The other operations go on, so that the run notices only when it has to end.
    const text = await generator.failure(options('--prefill --outstanding 4 --timeout 300ms'));
    expect(text).toMatch(/stalled: no answer for 0\.3 s with 1 operations outstanding/);
  });

  it('with a text message, a fragmented message, and bytes that are no frame', async () => {
    for (const [send, reason] of [
      [(peer: Peer) => peer.socket.send('hello'), /text message: "hello"/],
      [(peer: Peer) => peer.socket.send(Buffer.from('abc'), { fin: false }), /fragmented/],
      [(peer: Peer) => peer.socket.send(Buffer.from('abcdefghijk')), /no identifier/],
    ] as const) {
      afterPrefill(send);
      expect(await generator.failure(options('--prefill'))).toMatch(reason);
    }
  });
});

describe('a server that does not play', () => {
  it('is refused when it is not there', async () => {
    const address = node.url.replace('ws://', '');
    await node.stop();
    expect(await generator.failure(`--address ${address}`)).toMatch(
      new RegExp(`can't connect to ${address}: Connection refused`),
    );
    node = await ScriptedNode.start();
  });

  it('is a stall when it says nothing', async () => {
    afterPrefill(() => {});
    const text = await generator.failure(options('--prefill --outstanding 2 --timeout 300ms'));
    expect(text).toMatch(/connection 0: .*no answer for 0\.3 s with 2 operations outstanding/);
    const silent = await serve(() => {});
    expect(await generator.failure(`--address ${silent} --timeout 300ms`)).toMatch(
      /opening the connection took more than 0\.3 s/,
    );
  });

  it('is a stall when it says everything but answers', async () => {
    let timer: NodeJS.Timeout | undefined;
    afterPrefill((peer) => {
      timer ??= setInterval(() => peer.socket.ping(), 50);
    });
    const started = performance.now();
    const run = generator.failure(options('--prefill --outstanding 2 --timeout 300ms'));
    expect(await run.finally(() => clearInterval(timer))).toMatch(
      /no answer for 0\.3 s with 2 operations outstanding/,
    );
    expect(performance.now() - started).toBeLessThan(5_000);
  });

  it('is quoted when it closes the connection', async () => {
    afterPrefill((peer) => peer.socket.close(4041, 'read faster'));
    expect(await generator.failure(options('--prefill'))).toMatch(
      /closed the connection with code 4041 \(SlowReader\): read faster/,
    );
    node.onHello = (peer) => peer.socket.close(4039, 'who are you');
    expect(await generator.failure(options())).toMatch(
      /closed the connection with code 4039 \(Unauthenticated\): who are you/,
    );
    node.onHello = (peer) => peer.socket.terminate();
    expect(await generator.failure(options())).toMatch(/closed the connection before it was open/);
  });

  it('is quoted when it refuses the upgrade', async () => {
    const http = await serve((socket) =>
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\nno such origin'),
    );
    expect(await generator.failure(`--address ${http}`)).toMatch(
      /refused the WebSocket: HTTP\/1.1 403 Forbidden no such origin/,
    );
    const other = await serve((socket) => socket.end('-ERR unknown command\r\n'));
    expect(await generator.failure(`--address ${other}`)).toMatch(/it is not HTTP: "-ERR/);
  });

  it('is told apart by its limits before anything is sent', async () => {
    node.limits.operationsOutstandingMax = 10;
    expect(await generator.failure(options('--outstanding 11'))).toMatch(
      /do not allow this run: 10 operations outstanding, not 11/,
    );
    node.limits.valueBytesMax = 63;
    expect(await generator.failure(options())).toMatch(/values of 63 bytes, not 64/);
    expect(node.frames).toEqual([]);
  });
});

describe('Redis is believed no more', () => {
  const args = '--target redis --connections 1 --keys 10 --value-bytes 8 --duration 200ms';

  it.each([
    ['an error', () => '-LOADING wait\r\n', /answered get user:\d{12} with an error: LOADING wait/],
    ['another value', () => '$8\r\nabcdefgh\r\n', /another value: "abcdefgh"/],
    ['an absent key', () => '$-1\r\n', /no such key/],
    ['a get answered as a set', () => '+OK\r\n', /wrong answer: get/],
    ['two replies', () => '$-1\r\n$-1\r\n', /not outstanding/],
    ['a broken bulk string', () => '$3\r\nabcdefgh\r\n', /not as long as it says/],
    ['another kind of reply', () => ':1\r\n', /not a reply to GET or SET/],
    ['nothing', () => '', /no answer for 0\.3 s with 1 operations outstanding/],
  ])('with %s', async (name, get, reason) => {
    const address = await serve(redisScript(get));
    const more = name === 'two replies' ? '--allow-missing' : '';
    const text = await generator.failure(
      `${args} --address ${address} --timeout 300ms ${more}`.trim(),
    );
    expect(text).toMatch(reason);
  });

  it('with a refused password', async () => {
    const address = await serve((socket) => socket.write('-NOAUTH Authentication required.\r\n'));
    expect(await generator.failure(`${args} --address ${address}`)).toMatch(/INFO .*NOAUTH/);
  });
});

describe('the process', () => {
  it('ends on Ctrl-C with exit code 130 and without figures', async () => {
    const run = generator.start(options('--prefill --duration 60s --json'));
    await until(() => node.frames.length > 20, 'some frames');
    run.child.kill('SIGINT');
    expect(await run.ended).toEqual({ code: 130, signal: null });
    expect(run.stdout).toBe('');
    expect(run.stderr).toMatch(/interrupted/);
  });

  it('ends on Ctrl-C while it waits for a server', async () => {
    const silent = await serve(() => {});
    const run = generator.start(`--address ${silent}`);
    await tick(200);
    run.child.kill('SIGINT');
    expect((await run.ended).code).toBe(130);
  });

  it('ends with exit code 2 on wrong options', async () => {
    for (const args of [
      '--read-ratio 2',
      '--outstanding 4 --batch 3',
      '--threads 9 --connections 2',
    ]) {
      const run = generator.start(args);
      expect((await run.ended).code).toBe(2);
      expect(run.stderr).toMatch(/error: .*--(read-ratio|outstanding|threads)/);
      expect(run.stdout).toBe('');
    }
  });

  it('helps with examples', async () => {
    const run = generator.start('--help');
    expect((await run.ended).code).toBe(0);
    expect(run.stdout).toContain('rondo-load --target redis');
  });

  it('says which file has no token', async () => {
    const text = await generator.failure(options('--token-file /nonexistent/token'));
    expect(text).toMatch(/can't read \/nonexistent\/token/);
  });

  it('runs on several threads', async () => {
    const report = await generator.report(options('--prefill --connections 5 --threads 2'));
    expect(report.operations).toBeGreaterThan(0);
    expect(node.peers).toHaveLength(5);
    for (const { socket } of node.peers) if (socket.readyState < 3) await once(socket, 'close');
  });
});
