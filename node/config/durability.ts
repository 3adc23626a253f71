// The setting `durability`: when a write is acknowledged, and when it reaches the disk.

/** The longest time between two syncs: an hour. */
export const SYNC_INTERVAL_MS_MAX = 3_600_000;

export type DurabilitySetting =
  /** A reply leaves when what it shows has been synced. */
  | { readonly mode: 'sync' }
  /** Replies leave at once; the log is synced at most `everyMs` later. */
  | { readonly mode: 'interval'; readonly everyMs: number }
  /** There is no log. */
  | { readonly mode: 'none' };

/** Undefined where the text is no such setting. */
export function parseDurability(text: string): DurabilitySetting | undefined {
  if (text === 'sync' || text === 'none') return { mode: text };
  const digits = /^interval:([1-9]\d{0,6})$/.exec(text)?.[1];
  const everyMs = Number(digits);
  return digits === undefined || everyMs > SYNC_INTERVAL_MS_MAX
    ? undefined
    : { mode: 'interval', everyMs };
}

/** What a setting means, for the banner. */
export function describeDurability(text: string, dataDir: string): string {
  const setting = parseDurability(text);
  if (setting?.mode === 'sync') return `sync: what is acknowledged is on disk, in ${dataDir}`;
  if (setting?.mode === 'interval') {
    return `${text}: a power cut may take the last ${setting.everyMs} ms; in ${dataDir}`;
  }
  return 'none: state is in memory and is gone when the node stops';
}
