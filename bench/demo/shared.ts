// The state that the agents share, key by key, and how they change it.
//
//   demo/file/<path>     a file to count; the value is its number
//   demo/claim/<path>    the agent that counts it; expires, so that a dead agent's claim frees itself
//   demo/bucket/<n>      counts of the words that fall into the bucket, and the files merged into it
//   demo/done/<path>     all buckets have the file
//   demo/total           files that are done, and their words

import { type Kv, type Rondo, RondoError } from '../../ts/client/index.js';
import { addCounts } from './corpus.js';

export const FILES = 'demo/file/';
const CLAIMS = 'demo/claim/';
const BUCKETS = 'demo/bucket/';
const DONE = 'demo/done/';
export const TOTAL = 'demo/total';

/** Few enough that agents are forever in each other's way: what is shown is that nothing is lost. */
const BUCKET_COUNT = 32;
/** Updates that an agent has under way at once. */
const LANES = 4;
const CLAIM_TTL_MS = 5_000;
/** Rounds of compare-and-set. Somebody wins each, so many agents need many. */
const UPDATE_ATTEMPTS = 10_000;

/** Pairs, not an object: "constructor" is a word like any other. */
export interface Bucket {
  readonly counts: readonly (readonly [string, number])[];
  readonly files: readonly number[];
}

/** Files by their numbers, so that one which is counted again, after an agent died, counts once. */
export interface Total {
  readonly files: readonly number[];
  readonly words: number;
}

/** Whether this agent may count the file: nobody else has it, and it is not done. */
export async function claim(rondo: Rondo, path: string, agent: number): Promise<boolean> {
  try {
    await rondo.kv.put(CLAIMS + path, agent, { ifAbsent: true, ttlMs: CLAIM_TTL_MS });
  } catch (error) {
    if (error instanceof RondoError && error.code === 'ALREADY_EXISTS') return false;
    throw error;
  }
  // A claim can be free because its file is done and the claim has expired.
  return (await rondo.kv.get(DONE + path)) === undefined;
}

export interface Merged {
  /** Buckets that took counts. */
  readonly updates: number;
  /** Rounds of compare-and-set that it took: the excess over `updates` is contention. */
  readonly rounds: number;
}

/**
 * Merges a file's counts into the buckets. Each bucket knows the files that it has, so a file that is
 * merged again, after an agent died halfway, is not counted twice.
 */
export async function merge(
  kv: Pick<Kv<Bucket>, 'update'>,
  file: number,
  counts: ReadonlyMap<string, number>,
): Promise<Merged> {
  const parts = new Map<number, [string, number][]>();
  for (const [word, count] of counts) {
    const bucket = bucketOf(word);
    const part = parts.get(bucket);
    if (part === undefined) parts.set(bucket, [[word, count]]);
    else part.push([word, count]);
  }
  let rounds = 0;
  const mergePart = async ([bucket, part]: [number, [string, number][]]): Promise<void> => {
    const change = (value: Bucket | undefined): Bucket | undefined => {
      rounds++;
      const { counts: before, files } = value ?? { counts: [], files: [] };
      if (files.includes(file)) return undefined;
      const merged = new Map(before);
      addCounts(merged, part);
      return { counts: [...merged], files: [...files, file] };
    };
    await kv.update(BUCKETS + bucket, change, { attempts: UPDATE_ATTEMPTS });
  };
  const waiting = [...parts];
  const lane = async (): Promise<void> => {
    for (let part = waiting.pop(); part !== undefined; part = waiting.pop()) await mergePart(part);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return { updates: parts.size, rounds };
}

/** Adds a file to the total and marks it as done, in this order: an agent may die in between. */
export async function finish(
  rondo: Rondo,
  path: string,
  file: number,
  words: number,
): Promise<void> {
  const add = (total: Total = { files: [], words: 0 }): Total | undefined =>
    total.files.includes(file)
      ? undefined
      : { files: [...total.files, file], words: total.words + words };
  await rondo.kv.as<Total>().update(TOTAL, add, { attempts: UPDATE_ATTEMPTS });
  await rondo.kv.put(DONE + path, words);
}

/** How many files are done. */
export async function filesDone(rondo: Rondo): Promise<number> {
  return (await rondo.kv.get<Total>(TOTAL))?.files.length ?? 0;
}

/** Every count of every bucket. */
export async function readCounts(rondo: Rondo): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  // A bucket can be large: a page ends by its bytes before it ends by its entries.
  for await (const { value } of rondo.kv.scan<Bucket>(BUCKETS)) addCounts(counts, value.counts);
  return counts;
}

/** FNV-1a over UTF-16 units: any spread will do. */
function bucketOf(word: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < word.length; index++) {
    hash = Math.imul(hash ^ word.charCodeAt(index), 0x01000193);
  }
  return (hash >>> 0) % BUCKET_COUNT;
}
