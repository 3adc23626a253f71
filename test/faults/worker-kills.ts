// A node of several workers under load, of which one is killed again and again, and now and then the whole node.
// What clients were told must have an order, nothing acknowledged may be lost, no hold either; and while one
// worker is away, nobody else's operations fail or take much longer.

import { join } from 'node:path';
import type { RondoError } from '../../ts/client/index.js';
import { connect } from '../../ts/client/index.js';
import { partitionOfKey } from '../../ts/wire/partition.js';
import { decodeRouting } from '../../ts/wire/routing.js';
import { Client } from '../crash/client.js';
import { History } from '../crash/history.js';
import { KILLABLE, NodeProcess } from '../crash/node.js';
import { missing } from '../crash/survival.js';
import { type KeyGroup, keyGroup, Workload } from '../crash/workload.js';
import { freePort } from '../e2e/client-node.js';
import { checkHistory } from '../linearizability/check.js';
import { checkLocks } from '../linearizability/lock.js';
import type { Random } from '../parity/random.js';
import { LockClient } from './lock-client.js';

const CLIENTS = 6;
const LOCK_CLIENTS = 6;
const LOCKS = 6;
/** Kills after which other keys are used, so that no history grows too long. */
const KILLS_PER_GROUP = 4;
/** Milliseconds of load before a kill, and a client's pause between two calls. */
const LOAD_MS_MIN = 50;
const LOAD_MS_MAX = 400;
const PAUSE_MS_MAX = 6;
/** Milliseconds that a worker may need to come back, on a busy machine. */
const RESTART_MS_MAX = 60_000;
/** Keys of all workers. */
const SETTLED = Array.from({ length: 256 }, (_, index) => `settled/${index}`);
const RETRYABLE = new Set(['CONNECTION_LOST', 'UNAVAILABLE', 'OFFLINE', 'SESSION_UNKNOWN']);

export interface KillsRun {
  readonly engine: 'native' | 'ts';
  readonly workers: number;
  readonly kills: number;
  /** One kill in so many is the whole node's; 0: none is. */
  readonly nodeOneIn: number;
  /** Undefined: the node keeps nothing; the canary. */
  readonly folder: string | undefined;
  readonly random: Random;
  readonly onKill?: (kill: number) => void;
}

export interface KillsFound {
  /** What is wrong, in words. */
  readonly faults: readonly string[];
  readonly operations: number;
  readonly lockOperations: number;
  readonly killed: { workers: number; nodes: number };
  /** Calls that failed because their worker was away. */
  readonly failed: number;
  /** Milliseconds of calls to workers that live: while all do, and while one is away. */
  readonly p99: { before: number; during: number };
}

export async function runWorkerKills(run: KillsRun): Promise<KillsFound> {
  const { engine, workers, kills, nodeOneIn, folder, random, onKill } = run;
  const options = { program: KILLABLE, engine, workers, directory: folder && join(folder, 'data') };
  const port = await freePort();
  const start = (): NodeProcess => new NodeProcess({ ...options, port });
  let node = start();
  const history = new History();
  const workload = new Workload(history, random);
  const groups: KeyGroup[] = [keyGroup(0)];
  const faults: string[] = [];
  const killed = { workers: 0, nodes: 0 };
  const times = { before: [] as number[], during: [] as number[] };
  let failed = 0;
  /** The worker that is away; undefined: none is. */
  let away: number | 'all' | undefined;

  try {
    const url = await node.ready();
    const workerOf = await placementOf(url);
    let isRunning = true;

    /** The worker that each client's first connection was to, before the kill. */
    let firstAt: readonly (number | undefined)[] = [];
    const clients = Array.from({ length: CLIENTS }, (_, index) => {
      const routing = index % 2 === 0 ? 'auto' : 'single';
      const onError = (key: string | undefined, error: RondoError): void => {
        failed++;
        // A scan is everybody's; and what went by way of the worker that is away is lost with it.
        const isTheirs =
          away === 'all' ||
          key === undefined ||
          workerOf(key) === away ||
          routing === 'single' ||
          firstAt[index] === away;
        if (away === undefined || !isTheirs || !RETRYABLE.has(error.code)) {
          const which = `client ${index} (${routing}), worker ${away} away`;
          faults.push(`${which}: ${error.code}: ${error.message}`);
        }
      };
      return new Client(index + 1, url, history, { routing, onError });
    });
    await Promise.all(clients.map((client) => client.ready()));
    const loads = clients.map(async (client) => {
      while (isRunning) {
        await workload.one(client, groups.at(-1) as KeyGroup);
        await sleep(random.below(PAUSE_MS_MAX));
      }
    });

    /** Asks a worker that lives, one call at a time, by a client that routes. */
    const probe = connect({ url, session: false, retry: { delayMsMax: 200 }, timeoutMs: 60_000 });
    let probeAt: number | undefined;
    const probing = (async () => {
      for (let call = 0; isRunning; call++) {
        const key = `probe/${call % 64}`;
        const present = away;
        if (present === 'all' || workerOf(key) === present) {
          await sleep(1);
          continue;
        }
        const begun = performance.now();
        try {
          if (call % 4 === 0) await probe.kv.put(key, call);
          else await probe.kv.get(key);
          if (present === away) {
            times[away === undefined ? 'before' : 'during'].push(performance.now() - begun);
          }
        } catch (error) {
          const { code, message } = error as RondoError;
          const isWhole = (present as unknown) === 'all' || (away as unknown) === 'all';
          // Or it went by way of the dead one.
          const isDead = workerOf(key) === away || probeAt === away;
          if (!isWhole && !isDead) faults.push(`probe, worker ${away} away: ${code}: ${message}`);
        }
        await sleep(2);
      }
    })();

    const locks = Array.from({ length: LOCKS }, (_, index) => `lock/${index}`);
    const lockClients = Array.from(
      { length: LOCK_CLIENTS },
      (_, index) =>
        new LockClient(index + 1, url, index % 2 === 0 ? 'auto' : 'single', history, random),
    );
    const locking = lockClients.map((client) => client.run(locks));

    for (let kill = 1; kill <= kills && faults.length === 0; kill++) {
      onKill?.(kill);
      await sleep(random.between(LOAD_MS_MIN, LOAD_MS_MAX));
      const { restarts } = node;
      if (nodeOneIn > 0 && random.oneIn(nodeOneIn)) {
        away = 'all';
        await node.kill();
        node = start();
        await node.ready();
        killed.nodes++;
      } else {
        firstAt = clients.map((client) => client.worker);
        probeAt = probe.welcome?.worker;
        away = random.below(workers);
        node.killWorker(away);
        await until(() => node.restarts > restarts || node.fate() !== undefined);
        killed.workers++;
      }
      const fate = node.fate();
      if (fate !== undefined) faults.push(fate);
      // Calls that met the death have failed, or were repeated, when a later one of their client is answered.
      const later = SETTLED.find((key) => away === 'all' || workerOf(key) === away) as string;
      await Promise.all(clients.map((client) => client.run(later, { code: 'get' })));
      history.settle();
      away = undefined;
      if (kill % KILLS_PER_GROUP === 0) groups.push(keyGroup(groups.length));
    }
    await sleep(LOAD_MS_MAX);
    isRunning = false;
    for (const client of lockClients) client.stop();
    await Promise.all([...loads, probing, ...locking]);
    await probe.close();
    history.settle();
    const since = history.now;
    const keys = groups.flatMap((group) => group.keys);
    const reader = clients[0] as Client;
    await Promise.all(keys.map((key) => reader.run(key, { code: 'get' })));
    await Promise.all(clients.map((client) => client.close()));

    faults.push(...lockClients.flatMap((client) => client.faults));
    faults.push(...clients.flatMap((client) => client.faults));
    faults.push(...keys.flatMap((key) => missing(history.of(key), since)));
    const { failures } = checkHistory(keys.flatMap((key) => history.of(key)));
    faults.push(...failures.map(({ report }) => report));
    const lockOperations = lockClients.flatMap(({ operations }) => operations);
    faults.push(...checkLocks(lockOperations).map(({ report }) => report));
    return {
      faults,
      operations: history.size,
      lockOperations: lockOperations.length,
      killed,
      failed,
      p99: { before: p99Of(times.before), during: p99Of(times.during) },
    };
  } finally {
    await node.kill();
  }
}

/** Which worker has a key. */
async function placementOf(url: string): Promise<(key: string) => number> {
  const rondo = connect({ url, session: false });
  const { routing } = await rondo.ready({ timeoutMs: 30_000 });
  await rondo.close();
  const decoded = decodeRouting(routing);
  if (decoded === undefined) throw new Error('the welcome has no routing table');
  const { owners } = decoded;
  return (key) => {
    const bytes = new TextEncoder().encode(key);
    return owners[partitionOfKey(bytes, 0, bytes.length, owners.length)] as number;
  };
}

function p99Of(times: readonly number[]): number {
  const sorted = times.toSorted((left, right) => left - right);
  return sorted[Math.floor(sorted.length * 0.99)] ?? 0;
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + RESTART_MS_MAX;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('a worker did not come back');
    await sleep(2);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
