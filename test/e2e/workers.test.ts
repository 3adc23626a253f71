// Several workers in one process: they serve as one node, one that dies comes back while the others go on, and
// their number may change between runs.

import { afterEach, describe, expect, it } from 'vitest';
import type { Settings } from '../../node/config/settings.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { ReplyReader } from '../../ts/wire/reply.js';
import { Status } from '../../ts/wire/status.js';
import { frameOf, pairings, type RawClient, skipUnless } from './server-fixture.js';
import { eventually, routingOf, Workers, withFolder } from './workers-fixture.js';

const KEYS = Array.from({ length: 100 }, (_, index) => `key/${index}`);
const started: Workers[] = [];

async function start(settings: Partial<Settings>, deathsMax?: number): Promise<Workers> {
  const workers = await Workers.start(settings, deathsMax);
  started.push(workers);
  return workers;
}

afterEach(async () => {
  for (const workers of started.splice(0)) await workers.stop().catch(() => undefined);
});

async function putAll(client: RawClient, value: string): Promise<void> {
  for (const key of KEYS) {
    expect(await client.put(key, `${value} of ${key}`)).toMatchObject({ status: Status.Ok });
  }
}

async function expectAll(client: RawClient, value: string): Promise<void> {
  for (const key of KEYS) {
    let found = await client.get(key);
    // Where all serve, the last of them may not have looked at all others yet.
    await eventually(async () => {
      if (found.status === Status.Unavailable) found = await client.get(key);
      return found.status !== Status.Unavailable;
    }, 'the links');
    expect(found).toMatchObject({ status: Status.Ok, value: `${value} of ${key}` });
  }
}

/** The next result; pushes, such as that a worker was lost, are passed over. */
async function nextResult(client: RawClient): Promise<{ status: number }> {
  const reader = new ReplyReader();
  while (!reader.open(await client.next()));
  if (!reader.next()) throw new Error('an empty reply');
  return { status: reader.status };
}

/** Threads load their code, one after another where cores are few. */
const SLOW = { timeout: 120_000 };

/** Each transport and each engine once: how a worker serves does not depend on the pair. */
const PAIRINGS = pairings().filter(({ transport, engine }) => {
  return (transport === 'uws') === (engine === 'native');
});

describe.each(PAIRINGS)('workers over $transport with the $engine engine', SLOW, (pairing) => {
  const { transport, engine } = pairing;

  it('are one node, wherever a client connects', async (context) => {
    skipUnless(context, pairing);
    const workers = await start({ transport, engine, workers: 3 });
    expect(workers.server.workers).toBe(3);
    const { client, welcome } = await workers.connect();
    const { workers: routed, owners } = routingOf(welcome);
    expect(routed.map(({ isServing }) => isServing)).toEqual([true, true, true]);
    expect(new Set(owners)).toEqual(new Set([0, 1, 2]));
    expect(new Set(routed.map(({ node }) => node)).size).toBe(3);
    await putAll(client, 'value');
    for (const [index, { port }] of routed.entries()) {
      const direct = await workers.connect(port);
      expect(direct.welcome.worker).toBe(index);
      expect(direct.welcome.node).toBe(routed[index]?.node);
      await expectAll(direct.client, 'value');
    }
  });

  it('show the figures of all, whichever is asked', async (context) => {
    skipUnless(context, pairing);
    const workers = await start({ transport, engine });
    const { client, welcome } = await workers.connect();
    await putAll(client, 'value');
    const ports = routingOf(welcome).workers.map(({ port }) => port);
    for (const port of ports) {
      expect(await workers.get('/readyz', port)).toMatchObject({ status: 200 });
      let figures: ReadonlyMap<string, number> = new Map();
      await eventually(async () => {
        figures = await workers.metrics(port);
        return figures.get('rondo_keys') === KEYS.length;
      }, 'the keys of all');
      expect(figures.get('rondo_operations_total{code="put",status="OK"}')).toBe(KEYS.length);
      expect(figures.get('rondo_records_total')).toBe(KEYS.length);
      expect(figures.get('rondo_connections')).toBe(1);
      expect(figures.get('rondo_workers')).toBe(2);
      expect(figures.get('rondo_worker_up{worker="0"}')).toBe(1);
      expect(figures.get('rondo_worker_up{worker="1"}')).toBe(1);
      const forwarded = figures.get('rondo_forwarded_operations_total') as number;
      expect(forwarded).toBeGreaterThan(0);
      expect(forwarded).toBeLessThan(KEYS.length);
    }
    const second = await workers.connect();
    expect(second.welcome).toMatchObject({ keys: KEYS.length, connections: 2 });
  });

  it('come back when they die, with all that was acknowledged', async (context) => {
    skipUnless(context, pairing);
    await withFolder(async (dataDir) => {
      const workers = await start({ transport, engine, dataDir, durability: 'sync' });
      const { client, welcome } = await workers.connect();
      await putAll(client, 'first');
      const victim = 1 - welcome.worker;
      workers.server.killWorker(victim, 'throw');
      await eventually(async () => (await workers.get('/readyz')).status === 503, 'the death');
      // The connection is at the other worker, which serves its own partitions and refuses the others' for now.
      const { owners } = routingOf(welcome);
      expect(owners).toContain(welcome.worker);
      const statuses = new Set<number>();
      for (const [index, key] of KEYS.entries()) {
        client.socket.send(frameOf([{ code: OperationCode.Get, key, id: 1000 + index }]));
        statuses.add((await nextResult(client)).status);
      }
      expect(statuses).toContain(Status.Ok);
      statuses.delete(Status.Ok);
      statuses.delete(Status.Unavailable);
      expect([...statuses]).toEqual([]);
      await workers.untilReady();
      await expectAll((await workers.connect()).client, 'first');
      expect(workers.fatal).toEqual([]);
      expect(workers.events('worker_died')).toMatchObject([{ worker: victim }]);
      await eventually(() => workers.events('worker_restarted').length === 1, 'the restart');
      const figures = await workers.metrics();
      expect(figures.get('rondo_worker_restarts_total')).toBe(1);
      // What the dead thread had counted is not lost.
      expect(figures.get('rondo_operations_total{code="put",status="OK"}')).toBe(KEYS.length);
    });
  });

  it('end the process where they die again and again', async (context) => {
    skipUnless(context, pairing);
    const workers = await start({ transport, engine }, 2);
    const { client } = await workers.connect();
    workers.server.killWorker(0, 'reject');
    await eventually(() => workers.events('worker_died').length === 1, 'the death');
    await eventually(() => workers.events('worker_restarted').length === 1, 'the restart');
    workers.server.killWorker(1, 'throw');
    await eventually(() => workers.fatal.length > 0, 'the end');
    expect(workers.fatal).toMatchObject([{ code: 'WORKER_DIED' }]);
    expect(workers.events('workers_die')).toHaveLength(1);
    await client.closed;
    await expect(workers.get('/healthz')).rejects.toThrow();
  });

  it('are restarted one by one, and stop', async (context) => {
    skipUnless(context, pairing);
    await withFolder(async (dataDir) => {
      const workers = await start({ transport, engine, dataDir, durability: 'sync' });
      await putAll((await workers.connect()).client, 'before');
      await workers.server.restartWorkers();
      expect(await workers.get('/readyz')).toMatchObject({ status: 200 });
      expect(workers.events('worker_died')).toEqual([]);
      expect(workers.events('worker_restarted').map(({ worker }) => worker)).toEqual([0, 1]);
      const { client } = await workers.connect();
      await expectAll(client, 'before');
      const stopping = workers.server.stop();
      expect(await client.closed).toMatchObject({ code: 1001 });
      await stopping;
      await expect(workers.get('/healthz')).rejects.toThrow();
    });
  });
});

describe('the number of workers', SLOW, () => {
  it('changes between runs, and nothing is lost', async () => {
    await withFolder(async (dataDir) => {
      const settings = { dataDir, durability: 'sync' };
      for (const [run, workers] of [1, 2, 4, 3, 1].entries()) {
        const node = await start({ ...settings, workers });
        const { client, welcome } = await node.connect();
        expect(routingOf(welcome).workers).toHaveLength(workers);
        if (run > 0) await expectAll(client, `run ${run - 1}`);
        await putAll(client, `run ${run}`);
        await node.stop();
      }
    });
  });

  it('is the same directory to one process only', async () => {
    await withFolder(async (dataDir) => {
      const settings = { dataDir, durability: 'sync' };
      const node = await start(settings);
      await expect(start(settings)).rejects.toMatchObject({ code: 'DATA_LOCKED' });
      await expect(start({ ...settings, workers: 1 })).rejects.toMatchObject({
        code: 'DATA_LOCKED',
      });
      expect(node.fatal).toEqual([]);
    });
  });
});

describe('log lines of threads', SLOW, () => {
  it('say which worker wrote them', async () => {
    await withFolder(async (dataDir) => {
      const workers = await start({ dataDir, durability: 'sync' });
      const recovered = workers.events('recovered').map(({ worker }) => worker);
      expect(recovered.sort()).toEqual([0, 1]);
    });
  });
});
