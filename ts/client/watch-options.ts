// Where a watch begins and what it tells of: the options, their defaults, and what is wrong with them.

import { CLASS_KEYS, CLASS_LOCKS, CLASS_SESSIONS } from '../wire/layout.js';
import { INTEGER_LIMIT } from '../wire/limits.js';
import { timeoutError } from './arguments.js';
import { invalidArgument, type RondoError } from './errors.js';
import { keyError } from './key.js';
import type { WatchStart } from './watch-group.js';
import type { Overflow } from './watch-queue.js';
import type { WatchSubject } from './watch-stream.js';
import { placesOf } from './watch-token.js';

export interface WatchOptions {
  /** Watches the one key, not every key that begins with it. */
  readonly exact?: boolean | undefined;
  /** Begins with what is there, as `put` events and then `synced`. The default where nothing else is said. */
  readonly snapshot?: boolean | undefined;
  /** Begins behind this revision of the key, as a read or a write has told it. With `exact` only. */
  readonly fromRevision?: number | undefined;
  /** Begins behind the event, or the watch, with this `token`, also if another process had it. */
  readonly resume?: string | undefined;
  /**
   * What is done with changes where the network, or the consumer, is too slow for them: `gap` (the default)
   * drops them and says so; `coalesce` keeps the newest of each key, and then as `gap`; `disconnect` ends the
   * watch with WATCH_OVERFLOW.
   */
  readonly overflow?: Overflow | undefined;
  /** Changes that may wait here for the consumer. */
  readonly queueMax?: number | undefined;
  /** Leaves the values out. */
  readonly keysOnly?: boolean | undefined;
  /** Tells of keys: the default. */
  readonly keys?: boolean | undefined;
  /** Tells of locks whose names match, too. They have no snapshot: `rondo.locks` shows what there is. */
  readonly locks?: boolean | undefined;
  /** Tells of sessions whose ids begin with the prefix, too: of every one where it is empty. */
  readonly sessions?: boolean | undefined;
  /** Ends the watch with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the node must have accepted the watch; otherwise the client's `timeoutMs`. */
  readonly timeoutMs?: number | undefined;
}

const OVERFLOWS: readonly string[] = ['gap', 'coalesce', 'disconnect'];

export interface WatchPlan {
  readonly subject: WatchSubject;
  readonly start: WatchStart;
}

/** What a watch asks for, or why it cannot. `form`: in which its values are wanted. */
export function planOf(
  key: string,
  options: WatchOptions,
  form: WatchSubject['form'],
): WatchPlan | RondoError {
  const { exact = false, overflow = 'gap', keysOnly = false, timeoutMs } = options;
  const { keys = true, locks = false, sessions = false } = options;
  const start = startOf(options);
  const error =
    keyError(key, !exact) ?? (timeoutMs === undefined ? undefined : timeoutError(timeoutMs));
  if (error !== undefined) return error;
  if (typeof start === 'string') return invalidArgument(start);
  if (!keys && !locks && !sessions) {
    return invalidArgument('a watch is of keys, locks or sessions, and all three are false');
  }
  if (!OVERFLOWS.includes(overflow)) {
    return invalidArgument('overflow is "gap", "coalesce" or "disconnect"');
  }
  if (!((options.queueMax ?? 1) >= 1)) return invalidArgument('queueMax is 1 or more');
  const classes =
    (keys ? CLASS_KEYS : 0) | (locks ? CLASS_LOCKS : 0) | (sessions ? CLASS_SESSIONS : 0);
  const wanted = keysOnly ? 'none' : form;
  return {
    subject: { key, isPrefix: !exact, classes, overflow, form: wanted, timeoutMs },
    start,
  };
}

/** Where the watch begins, or what is wrong. */
function startOf(options: WatchOptions): WatchStart | string {
  const { snapshot, fromRevision, resume, exact, keys } = options;
  const said = [snapshot === true, fromRevision !== undefined, resume !== undefined];
  if (said.filter(Boolean).length > 1) {
    return 'one of snapshot, fromRevision and resume says where a watch begins';
  }
  if (fromRevision !== undefined) {
    if (exact !== true) {
      return 'a revision is of one key: pass exact: true with it, or go on by a token with resume';
    }
    if (!Number.isInteger(fromRevision) || fromRevision < 0 || fromRevision >= INTEGER_LIMIT) {
      return 'fromRevision is a revision, as entry, put and events tell it';
    }
    if (keys === false) return 'fromRevision is of a key, and keys is false';
    return { from: 'revision', revision: fromRevision };
  }
  if (resume === undefined) return { from: snapshot === false ? 'now' : 'snapshot' };
  const places = placesOf(resume);
  return places === undefined
    ? 'resume takes the token of an event or of a watch'
    : { from: 'places', places };
}
