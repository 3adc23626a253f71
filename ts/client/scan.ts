// Reading every key under a prefix, page after page. Each page is one operation; keys written or
// deleted between two pages may or may not be seen, all others are seen exactly once.

import { SCAN_ENTRIES_MAX } from '../wire/limits.js';
import type { CallOptions } from './dispatcher.js';
import { invalidArgument } from './errors.js';
import type { Entry, Kv, Page } from './kv.js';

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

export async function* scanAll<T>(
  kv: Kv<T>,
  prefix: string,
  options: ScanOptions,
): AsyncGenerator<Entry<T | undefined>, void, undefined> {
  const { pageSize = PAGE_SIZE_DEFAULT, keysOnly, signal, timeoutMs } = options;
  let left = options.limit ?? Number.POSITIVE_INFINITY;
  if (!(left >= 0)) throw invalidArgument('limit is a number of entries, 0 or more');
  let cursor: Uint8Array | undefined;
  while (left > 0) {
    const limit = Math.min(left, pageSize);
    const page: Page<T | undefined> = await kv.scanPage(prefix, {
      limit,
      cursor,
      keysOnly,
      signal,
      timeoutMs,
    });
    yield* page.entries;
    left -= page.entries.length;
    cursor = page.cursor;
    if (cursor === undefined) return;
  }
}
