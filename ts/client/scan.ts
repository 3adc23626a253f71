// Reading every key under a prefix, page after page. Each page is one operation; keys written or
// deleted between two pages may or may not be seen, all others are seen exactly once. A prefix without a `{tag}` is
// spread over all workers of a node: each is asked for its pages, and what they tell is merged in key order.

import { SCAN_ENTRIES_MAX } from '../wire/limits.js';
import type { CallOptions } from './dispatcher.js';
import { invalidArgument } from './errors.js';
import type { Entry, Kv, Page } from './kv.js';
import type { Router } from './router.js';
import { compareTexts, EVERY_WORKER } from './routes.js';

/** Entries that one page asks for unless told otherwise. */
export const PAGE_SIZE_DEFAULT = Math.min(1000, SCAN_ENTRIES_MAX);

export interface ScanOptions extends CallOptions {
  /** Entries in all; otherwise every one there is. */
  readonly limit?: number | undefined;
  /** Entries a page. The deadline holds for each page. */
  readonly pageSize?: number | undefined;
  /** Leaves the values out. */
  readonly keysOnly?: boolean | undefined;
}

/**
 * Asks for a page behind a cursor, of the worker with this address (its index + 1; 0: of the only one). Undefined: the
 * node has told meanwhile that it has several.
 */
type Ask<E> = (
  address: number,
  limit: number,
  cursor: Uint8Array | undefined,
) => Promise<Page<E> | undefined>;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function scanAll<T>(
  kv: Kv<T>,
  router: Router,
  prefix: string,
  options: ScanOptions,
): AsyncGenerator<Entry<T | undefined>, void, undefined> {
  const { pageSize = PAGE_SIZE_DEFAULT, keysOnly, signal, timeoutMs } = options;
  const left = options.limit ?? Number.POSITIVE_INFINITY;
  return entriesOf(router, prefix, left, pageSize, (address, limit, cursor) =>
    kv.askPage(prefix, { limit, cursor, keysOnly, signal, timeoutMs }, address),
  );
}

/** Entries with the prefix in byte order, `left` of them at most, fetched as they are read. */
export async function* entriesOf<T>(
  router: Router,
  prefix: string,
  left: number,
  pageSize: number,
  ask: Ask<T>,
): AsyncGenerator<Entry<T>, void, undefined> {
  if (!(left >= 0)) throw invalidArgument('limit is a number of entries, 0 or more');
  let cursor: Uint8Array | undefined;
  let more = left;
  while (more > 0) {
    const { routes } = router;
    const addresses = addressesOf(router, prefix);
    if (addresses.length > 1) {
      // Ends before its time where the node comes back with other workers.
      const isSame = (): boolean => router.routes === routes;
      const limit = (): number => Math.min(more, pageSize);
      for await (const entry of merged(addresses, cursor, limit, isSame, ask)) {
        if (entry === undefined) return;
        yield entry;
        cursor = encoder.encode(entry.key);
        if (--more === 0) return;
      }
      continue;
    }
    const page = await ask(addresses[0] as number, Math.min(more, pageSize), cursor);
    if (page === undefined) continue;
    yield* page.entries;
    more -= page.entries.length;
    cursor = page.cursor;
    if (cursor === undefined) return;
  }
}

/** The workers that have keys with the prefix, by address. */
export function addressesOf({ routes }: Router, prefix: string): number[] {
  if (routes === undefined) return [0];
  const worker = routes.workerOfPrefix(prefix);
  return worker === EVERY_WORKER ? routes.workers.map((_, index) => index + 1) : [worker + 1];
}

interface Source<T> {
  readonly address: number;
  entries: Entry<T>[];
  at: number;
  cursor: Uint8Array | undefined;
  isAtEnd: boolean;
}

/** The pages of several workers as one run of entries; undefined behind the last. */
async function* merged<T>(
  addresses: readonly number[],
  from: Uint8Array | undefined,
  limit: () => number,
  isSame: () => boolean,
  ask: Ask<T>,
): AsyncGenerator<Entry<T> | undefined, void, undefined> {
  const sources = addresses.map((address): Source<T> => {
    return { address, entries: [], at: 0, cursor: from, isAtEnd: false };
  });
  const fill = async (source: Source<T>): Promise<boolean> => {
    // A page of nothing but expired keys is empty, and not the last.
    while (!source.isAtEnd && source.at === source.entries.length) {
      const page = await ask(source.address, limit(), source.cursor);
      if (page === undefined || !isSame()) return false;
      const { entries, cursor } = page;
      Object.assign(source, { entries, cursor, at: 0, isAtEnd: cursor === undefined });
    }
    return true;
  };
  while (isSame()) {
    const filled = await Promise.all(sources.map(fill));
    if (filled.includes(false)) return;
    let empty = false;
    while (!empty) {
      let first: Source<T> | undefined;
      for (const source of sources) {
        const key = source.entries[source.at]?.key;
        const before = first?.entries[first.at]?.key;
        if (key === undefined) continue;
        if (before === undefined || compareTexts(key, before) < 0) first = source;
      }
      if (first === undefined) {
        yield undefined;
        return;
      }
      yield first.entries[first.at++];
      empty = first.at === first.entries.length && !first.isAtEnd;
    }
  }
}

/** One page of all workers together, with one cursor: nothing is in it behind which a worker may have more. */
export async function pageOf<T>(
  router: Router,
  prefix: string,
  limit: number,
  from: Uint8Array | undefined,
  ask: Ask<T>,
): Promise<Page<T>> {
  for (;;) {
    const addresses = addressesOf(router, prefix);
    const asked = await Promise.all(addresses.map((address) => ask(address, limit, from)));
    const pages = asked.filter((page) => page !== undefined);
    if (pages.length < asked.length) continue;
    const [only] = pages;
    if (only !== undefined && pages.length === 1) return only;
    return mergedPage(pages, limit);
  }
}

function mergedPage<T>(pages: readonly Page<T>[], limit: number): Page<T> {
  const cursors = pages.flatMap(({ cursor }) => (cursor === undefined ? [] : [cursor]));
  const [bound] = cursors.map((cursor) => decoder.decode(cursor)).sort(compareTexts);
  const entries = pages
    .flatMap((page) => page.entries)
    .filter(({ key }) => bound === undefined || compareTexts(key, bound) <= 0)
    .sort((one, other) => compareTexts(one.key, other.key));
  const isCut = entries.length > limit;
  entries.length = Math.min(entries.length, limit);
  const end = isCut ? entries.at(-1)?.key : bound;
  return { entries, cursor: end === undefined ? undefined : encoder.encode(end) };
}
