// Which worker of the node an operation is for, by the routing table that the node tells: the worker that has the
// partition of its key. What touches every worker names one of them instead; see `ts/wire/rondo.fbs`.

import { OperationCode } from '../wire/generated/rondo/wire/operation-code.js';
import { FLAG_WATCH_PREFIX } from '../wire/layout.js';
import { KEY_BYTES_MAX } from '../wire/limits.js';
import { partitionOfKey, partitionOfTag } from '../wire/partition.js';
import type { RoutedWorker, Routing } from '../wire/routing.js';
import type { Call } from './call.js';
import { UTF8_BYTES_PER_UNIT_MAX } from './key.js';
import { sessionName } from './watch-events.js';

/** Room for keys and prefixes; both were checked. */
const scratch = new Uint8Array(KEY_BYTES_MAX * UTF8_BYTES_PER_UNIT_MAX);
const encoder = new TextEncoder();

/** The worker of an operation is not known: one for each worker is needed in its place. */
export const EVERY_WORKER = -1;

export class Routes {
  constructor(private routing: Routing) {}

  get workers(): readonly RoutedWorker[] {
    return this.routing.workers;
  }

  get partitions(): number {
    return this.routing.owners.length;
  }

  /** Takes over a table that is not older. False where it is of other workers or partitions. */
  update(routing: Routing): boolean {
    const before = this.routing;
    if (!hasSameOwners(before, routing)) return false;
    // The version wraps around after 2^32 changes; a table that is half of that away is the newer one.
    if (((routing.version - before.version) | 0) >= 0) this.routing = routing;
    return true;
  }

  ownerOf(partition: number): number {
    return this.routing.owners[partition] ?? 0;
  }

  workerOfKey(key: string): number {
    return this.ownerOf(partitionOfKey(scratch, 0, encode(key), this.partitions));
  }

  /** The one worker that all keys with this prefix are of, or EVERY_WORKER. */
  workerOfPrefix(prefix: string): number {
    const partition = partitionOfTag(scratch, 0, encode(prefix), this.partitions);
    return partition < 0 ? EVERY_WORKER : this.ownerOf(partition);
  }

  workerOfSession(session: number): number {
    return this.workerOfKey(sessionName(session));
  }

  /** `session`: of the client; `here`: the worker that the client is connected to. */
  workerOf(call: Call, session: number, here: number): number {
    const { code } = call;
    if (isOfPrefix(call) || code === OperationCode.Unwatch) {
      if (call.ttlMs > 0) return call.ttlMs - 1;
      return code === OperationCode.Unwatch ? here : this.workerOfPrefix(call.key);
    }
    if (code === OperationCode.Renew || code === OperationCode.EndSession) {
      return session === 0 ? here : this.workerOfSession(session);
    }
    return this.workerOfKey(call.key);
  }
}

/** Whether it concerns every key with a prefix, and so, mostly, every worker. */
export function isOfPrefix({ code, flags }: Call): boolean {
  if (code === OperationCode.Watch) return (flags & FLAG_WATCH_PREFIX) !== 0;
  return code === OperationCode.Scan || code === OperationCode.ListLocks;
}

function hasSameOwners(one: Routing, other: Routing): boolean {
  const { owners } = other;
  return (
    one.workers.length === other.workers.length &&
    one.owners.length === owners.length &&
    one.owners.every((owner, partition) => owner === owners[partition])
  );
}

/**
 * Writes the text as UTF-8 to `scratch` and returns its length. Keys are short and mostly ASCII: for those a loop
 * costs less than a call of the encoder, which the frame's writer makes once for all texts of a frame.
 */
function encode(text: string): number {
  const { length } = text;
  for (let index = 0; index < length; index++) {
    const unit = text.charCodeAt(index);
    if (unit > 0x7f) return encoder.encodeInto(text, scratch).written;
    scratch[index] = unit;
  }
  return length;
}

/**
 * Below 0, 0 or above 0 as one text sorts before, with or after the other by the bytes of their UTF-8, which is the
 * order of code points. UTF-16 has surrogates below U+E000, and what they stand for is above U+FFFF.
 */
export function compareTexts(one: string, other: string): number {
  const length = Math.min(one.length, other.length);
  for (let index = 0; index < length; index++) {
    const a = one.charCodeAt(index);
    const b = other.charCodeAt(index);
    if (a !== b) return rank(a) - rank(b);
  }
  return one.length - other.length;
}

function rank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}
