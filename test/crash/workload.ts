// The load: several clients that read, write, delete, count and scan a few keys at once, so that reads
// meet writes which are not settled yet.

import type { Action } from '../linearizability/operation.js';
import type { Random } from '../parity/random.js';
import { Client } from './client.js';
import type { History } from './history.js';

const CLIENTS = 6;
/** Calls that a client has outstanding at most; they share a frame. */
const BURST_MAX = 4;
const REGISTERS = 6;
const COUNTERS = 2;
/** Bytes of a large value: a few fill a segment. One put in so many has one. */
const LARGE_MIN = 20_000;
const LARGE_MAX = 60_000;
const LARGE_ONE_IN = 40;
/** Bytes of a middling value: more than a sector, so that writes can be torn. */
const MIDDLING_MIN = 500;
const MIDDLING_MAX = 4_000;
const MIDDLING_ONE_IN = 3;

/** Some keys that are used together, for a few rounds; all begin with `prefix`. */
export interface KeyGroup {
  readonly prefix: string;
  readonly keys: readonly string[];
}

export function keyGroup(number: number): KeyGroup {
  const prefix = `g${number}/`;
  const registers = Array.from({ length: REGISTERS }, (_, index) => `${prefix}register-${index}`);
  const counters = Array.from({ length: COUNTERS }, (_, index) => `${prefix}counter-${index}`);
  return { prefix, keys: [...counters, ...registers] };
}

export class Workload {
  private written = 0;

  constructor(
    private readonly history: History,
    private readonly random: Random,
    private readonly routing: 'auto' | 'single' = 'auto',
  ) {}

  /** Reads every key once; gives what went wrong. */
  async sweep(url: string, groups: readonly KeyGroup[]): Promise<string[]> {
    const client = new Client(0, url, this.history, { routing: this.routing });
    for (const { keys } of groups) {
      await Promise.all(keys.map((key) => client.run(key, { code: 'get' })));
    }
    await client.close();
    return client.isCut
      ? ['the node did not answer the reads after its start', ...client.faults]
      : [];
  }

  /** The clients of a load, connected. */
  async connect(url: string): Promise<Client[]> {
    const ids = Array.from({ length: CLIENTS }, (_, index) => index + 1);
    const clients = ids.map((id) => new Client(id, url, this.history, { routing: this.routing }));
    await Promise.all(clients.map((client) => client.ready()));
    return clients;
  }

  /**
   * Goes on until the node is gone, or until `signal` cuts the connections with calls outstanding; gives
   * what else went wrong.
   */
  async run(clients: readonly Client[], group: KeyGroup, signal?: AbortSignal): Promise<string[]> {
    signal?.addEventListener('abort', () => {
      for (const client of clients) void client.close();
    });
    await Promise.all(
      clients.map(async (client) => {
        while (!client.isCut) {
          const burst = this.random.between(1, BURST_MAX);
          await Promise.all(Array.from({ length: burst }, () => this.one(client, group)));
        }
        await client.close();
      }),
    );
    return clients.flatMap(({ faults }) => faults);
  }

  /** One call of the load. */
  one(client: Client, { prefix, keys }: KeyGroup): Promise<void> {
    const { random } = this;
    if (random.oneIn(25)) return client.scan(prefix, keys);
    const key = random.pick(keys);
    const isCounter = key.includes('counter');
    const length = isCounter ? 0 : this.valueBytes();
    return client.run(key, this.action(key, isCounter), length);
  }

  /** 0: as long as its name. */
  private valueBytes(): number {
    const { random } = this;
    if (random.oneIn(LARGE_ONE_IN)) return random.between(LARGE_MIN, LARGE_MAX);
    return random.oneIn(MIDDLING_ONE_IN) ? random.between(MIDDLING_MIN, MIDDLING_MAX) : 0;
  }

  private action(key: string, isCounter: boolean): Action {
    const { random } = this;
    const number = ++this.written;
    // Of a counter, the sums of later increments must not meet the next value.
    const value = isCounter ? String(number * 1_000_000) : `w${number}`;
    const kind = random.below(20);
    if (kind < 7) return { code: 'get' };
    if (kind === 7) return { code: 'delete' };
    if (isCounter) return kind < 19 ? { code: 'increment', delta: 1n } : { code: 'put', value };
    if (kind === 8) return { code: 'put-if-absent', value };
    if (kind === 9) return { code: 'increment', delta: 1n };
    if (kind > 13) return { code: 'put', value };
    const expected = this.lastRevision(key);
    if (kind === 10) return { code: 'delete-if-revision', expected: Math.max(1, expected) };
    return { code: 'put-if-revision', value, expected };
  }

  /** The newest revision that somebody was told lately, for a condition that has a chance. */
  private lastRevision(key: string): number {
    let newest = 0;
    for (const { outcome } of this.history.of(key).slice(-6)) {
      if ('revision' in outcome) newest = Math.max(newest, outcome.revision ?? 0);
    }
    return newest;
  }
}
