// Key-value operations: arguments are checked here, with the codes that the node would answer, and
// become calls for the dispatcher. Every method gives a promise and never throws.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import {
  CONDITION_ALWAYS,
  CONDITION_IF_ABSENT,
  CONDITION_IF_REVISION,
  FLAG_EPHEMERAL,
  FLAG_FENCED,
  FLAG_KEYS_ONLY,
  TTL_KEEP,
  TTL_NONE,
  TTL_SET,
} from '../wire/layout.js';
import { KEY_BYTES_MAX, SCAN_ENTRIES_MAX } from '../wire/limits.js';
import {
  deltaBytes,
  deltaError,
  encodeError,
  putOptionsError,
  revisionError,
  ttlError,
} from './arguments.js';
import { Call, Shape } from './call.js';
import { type Codec, json } from './codec.js';
import type { CallOptions } from './dispatcher.js';
import { invalidArgument } from './errors.js';
import { fenced, fenceError } from './fence.js';
import { keyError } from './key.js';
import type {
  DeleteOptions,
  IncrementOptions,
  PageOptions,
  PutOptions,
  TouchOptions,
  WriteOptions,
} from './kv-options.js';
import { eachOf } from './many.js';
import type { Router } from './router.js';
import { PAGE_SIZE_DEFAULT, pageOf, type ScanOptions, scanAll } from './scan.js';
import { type Updated, type UpdateFunction, type UpdateOptions, updateKey } from './update.js';
import { Watch } from './watch.js';
import type { WatchOptions } from './watch-options.js';
import type { Watches } from './watches.js';

export interface Entry<T> {
  readonly key: string;
  readonly value: T;
  /** The version of the key: what `ifRevision` compares with. */
  readonly revision: number;
  /** Milliseconds left to live; undefined where the key does not expire. */
  readonly ttlMs: number | undefined;
}

export interface Page<T> {
  readonly entries: Entry<T>[];
  /** Where to go on; undefined after the last page. Opaque, and good for as long as one likes. */
  readonly cursor: Uint8Array | undefined;
}

export interface Written {
  readonly revision: number;
}

export type * from './kv-options.js';

/** What the namespace needs of its client. */
export interface KvContext {
  readonly router: Router;
  readonly watches: Watches;
  readonly timeoutMs: number;
  readonly queueMax: number;
  readonly random: () => number;
  /** Whether the client asks for a session. */
  readonly hasSession: boolean;
  /** Of the calls of a whole that has begun: a drain lets them through. */
  readonly isPart?: true;
}

const ONE = deltaBytes(1n);
/** Texts longer than this become bytes at the call, so that a frame's size is known, not guessed. */
const TEXT_UNITS_MAX = 1024;

const encoder = new TextEncoder();

export class Kv<V = unknown> {
  private readonly isPart: boolean;

  constructor(
    private readonly context: KvContext,
    private readonly codec: Codec<V>,
  ) {
    this.isPart = context.isPart === true;
  }

  /** The same keys with values of another type: `kv.as<Plan>()` is JSON, `kv.as(bytes)` is raw. */
  as<T>(codec: Codec<T> = json as Codec<T>): Kv<T> {
    return new Kv(this.context, codec);
  }

  /** The value, or undefined where the key does not exist. */
  get<T extends V = V>(key: string, options?: CallOptions): Promise<T | undefined> {
    const error = keyError(key, false);
    if (error !== undefined) return Promise.reject(error);
    return this.context.router.submit(
      new Call(OperationCode.Get, Shape.Value, 0, key, undefined, 0, 0, 0, this.codec),
      options,
      this.isPart,
    );
  }

  /** Value, revision and time to live, or undefined where the key does not exist. */
  entry<T extends V = V>(key: string, options?: CallOptions): Promise<Entry<T> | undefined> {
    const error = keyError(key, false);
    if (error !== undefined) return Promise.reject(error);
    return this.context.router.submit(
      new Call(OperationCode.Get, Shape.Entry, 0, key, undefined, 0, 0, 0, this.codec),
      options,
      this.isPart,
    );
  }

  /** Sets a value. ALREADY_EXISTS and REVISION_MISMATCH tell the present revision. */
  put(key: string, value: V, options?: PutOptions): Promise<Written> {
    let error = keyError(key, false);
    let flags = TTL_NONE | CONDITION_ALWAYS;
    let ttlMs = 0;
    let expectedRevision = 0;
    if (options !== undefined && error === undefined) {
      error = putOptionsError(options, this.context.hasSession);
      if (options.ttlMs !== undefined) {
        ttlMs = options.ttlMs;
        flags = TTL_SET;
      } else if (options.keepTtl === true) {
        flags = TTL_KEEP;
      }
      if (options.ifAbsent === true) flags |= CONDITION_IF_ABSENT;
      else if (options.ifRevision !== undefined) {
        flags |= CONDITION_IF_REVISION;
        expectedRevision = options.ifRevision;
      }
      if (options.ephemeral === true) flags |= FLAG_EPHEMERAL;
      if (options.fence !== undefined) flags |= FLAG_FENCED;
    }
    if (error !== undefined) return Promise.reject(error);
    let encoded: string | Uint8Array;
    try {
      encoded = this.encode(value);
      if (options?.fence !== undefined) encoded = fenced(options.fence, encoded);
    } catch (cause) {
      return Promise.reject(encodeError(key, cause));
    }
    return this.context.router.submit(
      new Call(
        OperationCode.Put,
        Shape.Written,
        flags,
        key,
        encoded,
        0,
        ttlMs,
        expectedRevision,
        undefined,
      ),
      options,
      this.isPart,
    );
  }

  /** Whether there was something to delete. */
  delete(key: string, options?: DeleteOptions): Promise<boolean> {
    const ifRevision = options?.ifRevision;
    const fence = options?.fence;
    const error = keyError(key, false) ?? revisionError(ifRevision) ?? fenceError(fence);
    if (error !== undefined) return Promise.reject(error);
    const flags = ifRevision === undefined ? CONDITION_ALWAYS : CONDITION_IF_REVISION;
    return this.context.router.submit(
      new Call(
        OperationCode.Delete,
        Shape.Removed,
        fence === undefined ? flags : flags | FLAG_FENCED,
        key,
        fence === undefined ? undefined : fenced(fence, undefined),
        0,
        0,
        ifRevision ?? 0,
        undefined,
      ),
      options,
      this.isPart,
    );
  }

  /**
   * Adds to a whole number and gives the sum; a key that does not exist counts as 0. Numbers have 64
   * bits on the node, so the sum is a bigint: always exact, and of one type whatever its size.
   * NOT_A_NUMBER where the value is another one, NUMBER_OVERFLOW where the sum does not fit.
   */
  increment(key: string, delta: number | bigint = 1, options?: IncrementOptions): Promise<bigint> {
    const ttlMs = options?.ttlMs;
    const fence = options?.fence;
    const error = keyError(key, false) ?? ttlError(ttlMs) ?? deltaError(delta) ?? fenceError(fence);
    if (error !== undefined) return Promise.reject(error);
    const flags = ttlMs === undefined ? TTL_KEEP : TTL_SET;
    const bytes = delta === 1 ? ONE : deltaBytes(BigInt(delta));
    return this.context.router.submit(
      new Call(
        OperationCode.Increment,
        Shape.Number,
        fence === undefined ? flags : flags | FLAG_FENCED,
        key,
        fence === undefined ? bytes : fenced(fence, bytes),
        0,
        ttlMs ?? 0,
        0,
        undefined,
      ),
      options,
      this.isPart,
    );
  }

  /** Replaces a key's time to live; undefined where the key does not exist. */
  touch(key: string, options: TouchOptions): Promise<Written | undefined> {
    const { ttlMs, fence } = options;
    let error = keyError(key, false) ?? ttlError(ttlMs) ?? fenceError(fence);
    if ((ttlMs === undefined) === (options.persist !== true)) {
      error ??= invalidArgument('touch takes either ttlMs or persist: true');
    }
    if (error !== undefined) return Promise.reject(error);
    const flags = ttlMs === undefined ? TTL_NONE : TTL_SET;
    return this.context.router.submit(
      new Call(
        OperationCode.Touch,
        Shape.Touched,
        fence === undefined ? flags : flags | FLAG_FENCED,
        key,
        fence === undefined ? undefined : fenced(fence, undefined),
        0,
        ttlMs ?? 0,
        0,
        undefined,
      ),
      options,
      this.isPart,
    );
  }

  /**
   * Reads the value, applies `change` and puts the result at the revision that was read, again and
   * again until no other writer came between. `change` may run more than once. It returns the next
   * value, `undefined` to leave the key as it is, or `REMOVE` to delete it. The deadline and the
   * signal hold for the whole. CONTENTION where `attempts` rounds were not enough.
   */
  update<T extends V = V>(
    key: string,
    change: UpdateFunction<T>,
    options: UpdateOptions = {},
  ): Promise<Updated<T>> {
    const { timeoutMs, random } = this.context;
    return this.whole((kv) =>
      updateKey(
        kv as unknown as Kv<T>,
        key,
        change,
        options,
        options.timeoutMs ?? timeoutMs,
        random,
      ),
    );
  }

  /** Every key with this prefix, in byte order, fetched page by page as they are read. */
  scan(
    prefix: string,
    options: ScanOptions & { readonly keysOnly: true },
  ): AsyncIterableIterator<Entry<undefined>>;
  scan<T extends V = V>(prefix?: string, options?: ScanOptions): AsyncIterableIterator<Entry<T>>;
  scan(prefix = '', options: ScanOptions = {}): AsyncIterableIterator<Entry<unknown>> {
    return scanAll(this, this.context.router, prefix, options);
  }

  /**
   * What is there under this prefix, and then every change: an async iterator that outlives lost
   * connections. It begins now, not at its first event.
   */
  watch(prefix: string, options: WatchOptions & { readonly keysOnly: true }): Watch<undefined>;
  watch<T extends V = V>(prefix: string, options?: WatchOptions): Watch<T>;
  watch(prefix: string, options?: WatchOptions): Watch<unknown> {
    return new Watch<unknown>(this.context.watches, this.codec, prefix, options);
  }

  /** One page of a scan. */
  scanPage(
    prefix: string,
    options: PageOptions & { readonly keysOnly: true },
  ): Promise<Page<undefined>>;
  scanPage<T extends V = V>(prefix: string, options?: PageOptions): Promise<Page<T>>;
  scanPage(prefix: string, options: PageOptions = {}): Promise<Page<unknown>> {
    const { limit = PAGE_SIZE_DEFAULT, cursor } = options;
    const { router } = this.context;
    return this.whole((kv) =>
      pageOf(router, prefix, limit, cursor, (at) => kv.askPage(prefix, options, at)),
    );
  }

  /** Of one worker, for `scanPage` and `scan`; undefined: the node has several. */
  askPage<T extends V = V>(
    prefix: string,
    options: PageOptions,
    address: number,
  ): Promise<Page<T> | undefined> {
    const { limit = PAGE_SIZE_DEFAULT, cursor, keysOnly = false } = options;
    let error = keyError(prefix, true);
    if (!Number.isInteger(limit) || limit < 1 || limit > SCAN_ENTRIES_MAX) {
      error ??= invalidArgument(`limit is a whole number of 1 to ${SCAN_ENTRIES_MAX} entries`);
    }
    if (cursor !== undefined && cursor.length > KEY_BYTES_MAX) {
      error ??= invalidArgument('the cursor is not one that a page has returned');
    }
    if (error !== undefined) return Promise.reject(error);
    return this.context.router.submit(
      new Call(
        OperationCode.Scan,
        Shape.Page,
        keysOnly ? FLAG_KEYS_ONLY : 0,
        prefix,
        cursor === undefined ? undefined : new Uint8Array(cursor),
        limit,
        address,
        0,
        keysOnly ? undefined : this.codec,
      ),
      options,
      this.isPart,
    );
  }

  /** The values of those keys that exist. */
  async getMany<T extends V = V>(
    keys: Iterable<string>,
    options?: CallOptions,
  ): Promise<Map<string, T>> {
    const found = new Map<string, T>();
    await this.each('getMany', keys, async (kv, key) => {
      const value = await kv.get<T>(key, options);
      if (value !== undefined) found.set(key, value);
    });
    return found;
  }

  /**
   * Puts each entry with the same options. Not a transaction: where some fail, the others are done
   * all the same, and the error's cause has every failure.
   */
  putMany(entries: Iterable<readonly [string, V]>, options?: PutOptions): Promise<void> {
    return this.each('putMany', entries, (kv, [key, value]) => kv.put(key, value, options));
  }

  /** Deletes each key and tells how many there were. Fails as `putMany` does. */
  async deleteMany(keys: Iterable<string>, options?: WriteOptions): Promise<number> {
    let deleted = 0;
    await this.each('deleteMany', keys, async (kv, key) => {
      if (await kv.delete(key, options)) deleted++;
    });
    return deleted;
  }

  /** Runs what is made of several calls, with the `Kv` to make them by. */
  private whole<R>(run: (kv: Kv<V>) => Promise<R>): Promise<R> {
    const { context, codec } = this;
    return context.router.intake.whole(() => run(new Kv({ ...context, isPart: true }, codec)));
  }

  private each<T>(
    name: string,
    items: Iterable<T>,
    operate: (kv: Kv<V>, item: T) => Promise<unknown>,
  ): Promise<void> {
    const { queueMax } = this.context;
    return this.whole((kv) => eachOf(name, items, queueMax, (item) => operate(kv, item)));
  }

  /** The call keeps what this gives, so bytes are copied: the caller may go on to change them. */
  private encode(value: V): string | Uint8Array {
    const { codec } = this;
    // Not by `slice`: where the bytes are of a subclass, its own need not copy.
    if (codec.form === 'bytes') return new Uint8Array(codec.encode(value));
    const text = codec.encode(value);
    return text.length > TEXT_UNITS_MAX ? encoder.encode(text) : text;
  }
}
