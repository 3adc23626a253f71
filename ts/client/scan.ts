// Reading every key under a prefix, page after page. Each page is one operation; keys written or
// deleted between two pages may or may not be seen, all others are seen exactly once.

import type { CallOptions } from './dispatcher.js';
import type { Entry, Kv, Page } from './kv.js';

/** Entries that one page asks for unless told otherwise. */
export const PAGE_SIZE_DEFAULT = 1000;

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
  let cursor: Uint8Array | undefined;
  do {
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
  } while (cursor !== undefined && left > 0);
}
