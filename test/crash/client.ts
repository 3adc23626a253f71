// One client of the load, over the public API: it asks, and writes into the history what it was told.

import { connect, type Kv, RondoError, text } from '../../ts/client/index.js';
import type { Action, Outcome } from '../linearizability/operation.js';
import type { History, Pending } from './history.js';
import { contentOf, nameOf } from './values.js';

/** Milliseconds without an answer after which a node counts as stuck. */
const ANSWER_MS_MAX = 20_000;
/** Codes of calls that meet a dead or dying node. */
const EXPECTED = new Set(['CONNECTION_LOST', 'OFFLINE', 'CLOSED', 'UNAVAILABLE']);

export interface ClientOptions {
  readonly routing?: 'auto' | 'single' | undefined;
  /**
   * Hears of calls that met a dead or dying node or worker, and the client goes on: connections are made again.
   * `key`: undefined where it was a scan. Otherwise the first one ends the client.
   */
  readonly onError?: (key: string | undefined, error: RondoError) => void;
}

export class Client {
  /** Errors that a node under this load must never answer. */
  readonly faults: string[] = [];
  /** No call can succeed any more. */
  isCut = false;
  private readonly rondo: ReturnType<typeof connect>;
  private readonly kv: Kv<string>;

  constructor(
    private readonly id: number,
    url: string,
    private readonly history: History,
    private readonly options: ClientOptions = {},
  ) {
    const queue = { mode: 'wait' } as const;
    const { routing, onError } = options;
    const retry = onError === undefined ? { attempts: 0 } : { delayMsMax: 200 };
    this.rondo = connect({ url, timeoutMs: ANSWER_MS_MAX, retry, queue, routing });
    this.kv = this.rondo.kv.as(text);
  }

  /** Settled when it is connected, or never will be. */
  async ready(): Promise<void> {
    try {
      await this.rondo.ready();
    } catch (error) {
      if (!(error instanceof RondoError)) throw error;
      this.isCut = true;
    }
  }

  async close(): Promise<void> {
    await this.rondo.close();
  }

  /** `length`: of the stored value, where the action puts one. */
  async run(key: string, action: Action, length = 0): Promise<void> {
    const pending = this.history.begin(key, this.id, action);
    try {
      this.history.end(pending, await this.ask(key, action, length));
    } catch (error) {
      this.end([pending], error, key);
    }
  }

  /** The worker that has its first connection; undefined while it has none. */
  get worker(): number | undefined {
    return this.rondo.welcome?.worker;
  }

  /** One page over the keys that begin with `prefix`: a read of each of them at one moment. */
  async scan(prefix: string, keys: readonly string[]): Promise<void> {
    const pendings = keys.map((key) => this.history.begin(key, this.id, { code: 'get' }));
    try {
      const { entries, cursor } = await this.kv.scanPage<string>(prefix);
      const found = new Map(entries.map((entry) => [entry.key, entry]));
      const last = entries.at(-1)?.key ?? '';
      for (const pending of pendings) {
        const entry = found.get(pending.key);
        if (entry !== undefined) {
          const { value, revision } = entry;
          this.history.end(pending, { status: 'ok', value: nameOf(value), revision });
        } else if (cursor === undefined || pending.key < last) {
          this.history.end(pending, { status: 'not-found' });
        } else {
          this.history.forget(pending);
        }
      }
    } catch (error) {
      this.end(pendings, error);
    }
  }

  private async ask(key: string, action: Action, length: number): Promise<Outcome> {
    const { kv } = this;
    switch (action.code) {
      case 'get': {
        const entry = await kv.entry(key);
        if (entry === undefined) return { status: 'not-found' };
        return { status: 'ok', value: nameOf(entry.value), revision: entry.revision };
      }
      case 'put':
        return { status: 'ok', ...(await kv.put(key, contentOf(action.value, length))) };
      case 'put-if-absent':
        return {
          status: 'ok',
          ...(await kv.put(key, contentOf(action.value, length), { ifAbsent: true })),
        };
      case 'put-if-revision': {
        const ifRevision = action.expected;
        return {
          status: 'ok',
          ...(await kv.put(key, contentOf(action.value, length), { ifRevision })),
        };
      }
      case 'delete':
        return (await kv.delete(key)) ? { status: 'ok' } : { status: 'not-found' };
      case 'delete-if-revision': {
        const isDeleted = await kv.delete(key, { ifRevision: action.expected });
        return isDeleted ? { status: 'ok' } : { status: 'not-found' };
      }
      case 'increment':
        return { status: 'ok', value: String(await kv.increment(key, action.delta)) };
    }
  }

  private end(pendings: readonly Pending[], error: unknown, key?: string): void {
    if (!(error instanceof RondoError)) throw error;
    const { onError } = this.options;
    const { code, revision, maybeApplied, message } = error;
    let isFailed = false;
    for (const pending of pendings) {
      if (code === 'ALREADY_EXISTS' || code === 'REVISION_MISMATCH') {
        this.history.end(pending, { status: 'condition-failed', revision });
      } else if (code === 'NOT_A_NUMBER') {
        this.history.end(pending, { status: 'not-a-number' });
      } else {
        isFailed = true;
        // A write that may have been carried out stays open until the node is dead.
        if (!maybeApplied) this.history.forget(pending);
        else if (onError !== undefined) this.history.fail(pending);
        if (onError === undefined && !EXPECTED.has(code))
          this.faults.push(`${pending.key}: ${code}: ${message}`);
      }
    }
    if (!isFailed) return;
    if (onError === undefined) this.isCut = true;
    else onError(key, error);
  }
}
