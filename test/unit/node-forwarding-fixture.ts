// Several workers in this process, each with an engine and a transport of its own, over links of memory or over
// rings, and clients that speak to one of them.

import { pino } from 'pino';
import { type Clock, realClock } from '../../node/clock.js';
import { defaultSettings } from '../../node/config/config.js';
import type { Settings } from '../../node/config/settings.js';
import { FIGURES_LENGTH } from '../../node/counters.js';
import type { WorkerLinks } from '../../node/links/links.js';
import { MemoryNetwork } from '../../node/links/memory-links.js';
import { RingLinks } from '../../node/links/ring-links.js';
import { MemoryLog } from '../../node/log/memory-log.js';
import { chooseTransport } from '../../node/transport/load.js';
import type { Transport } from '../../node/transport/transport.js';
import { History, WATCH_HISTORY } from '../../node/watch/history.js';
import { Worker } from '../../node/worker.js';
import { chooseEngine } from '../../ts/engine/load.js';
import { placePartitions } from '../../ts/engine/ring.js';
import { createTsEngine } from '../../ts/engine/ts-engine.js';
import { Doorbell } from '../../ts/shared/doorbell.js';
import {
  WORKER_DOWN,
  WORKER_SERVING,
  WORKER_STARTING,
  WORKER_STOPPING,
} from '../../ts/shared/layout.js';
import { makeSharedMemory, type SharedMemory } from '../../ts/shared/memory.js';
import { RoutingReader, RoutingWriter } from '../../ts/shared/routing-table.js';
import { partitionOfKey } from '../../ts/wire/partition.js';
import { type EventKind, PushReader } from '../../ts/wire/push.js';
import { ReplyReader } from '../../ts/wire/reply.js';
import { RawClient } from '../e2e/server-fixture.js';

export const PARTITIONS = 16;

export interface ClusterOptions {
  readonly workers: number;
  readonly kind?: 'memory' | 'rings';
  readonly settings?: Partial<Settings>;
  /** Milliseconds until a write is durable; undefined: there is no log. */
  readonly logDelayMs?: number;
  /** Of messages between workers, with `memory`. */
  readonly delayMs?: (from: number, to: number) => number;
  readonly ringBytes?: number;
}

export class Cluster {
  readonly memory: SharedMemory;
  readonly owners: Uint16Array;
  readonly network: MemoryNetwork;
  readonly workers: Worker[] = [];
  readonly ports: number[] = [];
  readonly fatal: unknown[] = [];
  readonly logs: MemoryLog[] = [];
  private readonly table: RoutingWriter;
  private readonly doorbells: Doorbell[];
  private readonly epochs: number[] = [];
  private readonly clients: RawClient[] = [];
  private readonly clock: Clock = realClock;

  private constructor(private readonly options: ClusterOptions) {
    const { workers, delayMs, ringBytes } = options;
    this.memory = makeSharedMemory({
      workers,
      partitions: PARTITIONS,
      figures: FIGURES_LENGTH,
      ...(ringBytes !== undefined && { ringBytes }),
    });
    this.owners = placePartitions(PARTITIONS, workers);
    this.table = new RoutingWriter(this.memory.routing);
    this.table.init(this.owners, workers);
    this.doorbells = Array.from(
      { length: workers },
      (_, index) => new Doorbell(this.memory.doorbells, index),
    );
    this.network = new MemoryNetwork({ workers, clock: this.clock, ...(delayMs && { delayMs }) });
  }

  static async start(options: ClusterOptions): Promise<Cluster> {
    const cluster = new Cluster(options);
    for (let worker = 0; worker < options.workers; worker++) await cluster.startWorker(worker);
    await settled();
    return cluster;
  }

  async startWorker(index: number): Promise<void> {
    const epoch = (this.epochs[index] ?? 0) + 1;
    this.epochs[index] = epoch;
    this.change(index, { state: WORKER_STARTING, epoch });
    const settings = defaultSettings({
      port: 0,
      partitions: PARTITIONS,
      durability: 'none',
      ...this.options.settings,
    });
    const routing = new RoutingReader(this.memory.routing);
    const engine = createTsEngine({
      partitions: PARTITIONS,
      valueBytesMax: settings.valueBytesMax,
      memoryBytesMax: 0,
      hashSeed: 1,
      routing: {
        worker: index,
        table: new Uint32Array(this.memory.routing),
        revisions: new BigUint64Array(this.memory.revisions),
      },
    });
    const { logDelayMs: delayMs } = this.options;
    let worker: Worker | undefined;
    const log =
      delayMs === undefined
        ? undefined
        : new MemoryLog({
            partitions: PARTITIONS,
            clock: this.clock,
            delayMs,
            events: {
              onProgress: () => worker?.gate?.onProgress(),
              onFailure: (error) => worker?.onLogFailure(error),
            },
          });
    if (log !== undefined) this.logs[index] = log;
    worker = new Worker({
      settings,
      engine: chooseEngine('ts'),
      transport: chooseTransport('ws'),
      tokens: undefined,
      clock: this.clock,
      logger: pino({ level: 'silent' }),
      fabric: {
        worker: index,
        workers: this.options.workers,
        memory: this.memory,
        routing,
        links: this.linksOf(index, routing),
      },
      state: {
        engine,
        log,
        compactor: undefined,
        node: 100 + index,
        history: new History(WATCH_HISTORY, (partition) => engine.revisionOf(partition)),
        isWaiting: log !== undefined,
        close: async () => engine.close(),
      },
      onFatal: (error) => this.fatal.push(error),
    });
    this.workers[index] = worker;
    this.ports[index] = await worker.start();
    this.change(index, { state: WORKER_SERVING, port: this.ports[index] ?? 0, node: 100 + index });
  }

  /** The worker dies: nothing of it is left, and its sockets are gone. */
  async kill(index: number): Promise<void> {
    const worker = this.workers[index] as Worker;
    this.network.lose(index);
    // As of a thread that ends in the middle of its work.
    const inside = worker as unknown as { endServing(): void; transport: Transport };
    inside.endServing();
    await inside.transport.close(0);
    this.change(index, { state: WORKER_DOWN });
  }

  async stopWorker(index: number): Promise<void> {
    this.change(index, { state: WORKER_STOPPING });
    await this.workers[index]?.stop();
    this.change(index, { state: WORKER_DOWN });
  }

  /** Connects to one worker and greets; `client` sees replies and pushes. */
  async connect(worker: number): Promise<Caller> {
    const client = new RawClient(`ws://127.0.0.1:${this.ports[worker]}/`, {});
    this.clients.push(client);
    await client.opened;
    await client.hello();
    return new Caller(client);
  }

  async session(worker: number): Promise<Caller> {
    const client = new RawClient(`ws://127.0.0.1:${this.ports[worker]}/`, {});
    this.clients.push(client);
    await client.opened;
    await client.helloWith({ sessionTtlMs: 10_000, group: 77 });
    return new Caller(client);
  }

  /** A key of a partition of the worker; another for each number. */
  keyOf(worker: number, number = 0): string {
    for (let tried = 0; ; tried++) {
      const key = Buffer.from(`key-${number}-${tried}`);
      const partition = partitionOfKey(key, 0, key.length, PARTITIONS);
      if (this.owners[partition] === worker) return key.toString();
    }
  }

  change(index: number, change: Parameters<RoutingWriter['setWorker']>[1]): void {
    this.table.setWorker(index, change);
    for (const doorbell of this.doorbells) doorbell.ring();
  }

  async stop(): Promise<void> {
    for (const client of this.clients) client.socket.terminate();
    const stopping = this.workers.map((worker) => worker.stop());
    await Promise.all(stopping);
  }

  private linksOf(worker: number, routing: RoutingReader): WorkerLinks {
    if (this.options.kind !== 'rings') return this.network.linksOf(worker);
    return new RingLinks({ memory: this.memory, worker, routing, clock: this.clock });
  }
}

export interface Answer {
  readonly id: number;
  readonly status: number;
  readonly value: string;
  readonly revision: number;
}

export interface Told {
  readonly kind: EventKind;
  readonly partition: number;
  readonly key: string;
  readonly value: Uint8Array;
}

/** A client that sorts what comes into answers and events. */
export class Caller {
  readonly answers: Answer[] = [];
  readonly events: Told[] = [];

  constructor(readonly client: RawClient) {}

  send(frame: Uint8Array): void {
    this.client.socket.send(frame);
  }

  /** The next so many answers that have come. */
  async take(count: number): Promise<Answer[]> {
    while (this.answers.length < count) await this.read();
    return this.answers.splice(0, count);
  }

  async event(): Promise<Told> {
    while (this.events.length === 0) await this.read();
    return this.events.shift() as Told;
  }

  private async read(): Promise<void> {
    const frame = await this.client.next();
    const reply = new ReplyReader();
    if (reply.open(frame)) {
      while (reply.next()) {
        const { id, status, revision } = reply;
        this.answers.push({ id, status, revision, value: Buffer.from(reply.value).toString() });
      }
      return;
    }
    const push = new PushReader();
    if (!push.open(frame)) throw new Error('neither a reply nor a push');
    while (push.next()) {
      const { kind, partition } = push;
      const key = Buffer.from(push.key).toString();
      this.events.push({ kind, partition, key, value: push.value.slice() });
    }
  }
}

/** Some turns of the event loop. */
export function settled(ms = 20): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
