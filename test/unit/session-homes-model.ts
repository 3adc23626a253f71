// The state of a worker as its sessions see it: which it has, which are guests, what they hold, and what of that
// its log has. It throws where it frees something of a session that is not durably known to have ended.

import { createHash } from 'node:crypto';
import { sessionText } from '../../ts/engine/coordination.js';
import { OUTCOME_COUNT, OUTCOME_LENGTH } from '../../ts/engine/engine.js';
import { partitionOfKey } from '../../ts/wire/partition.js';
import { Status } from '../../ts/wire/status.js';

export const PARTITIONS = 8;
export const SECRET = new Uint8Array(16).fill(9);
/** What stands for it. */
export const DIGEST = new Uint8Array(createHash('sha256').update(SECRET).digest().subarray(0, 16));
export const TTL_MS = 5_000;

/** A session whose home is this one of so many workers; another for each `number`. */
export function sessionAt(home: number, workers: number, number = 1): number {
  let found = 0;
  for (let session = 1; ; session++) {
    const text = Buffer.from(sessionText(session));
    if (partitionOfKey(text, 0, text.length, PARTITIONS) % workers !== home) continue;
    if (++found === number) return session;
  }
}

/** What a log says of a worker: its sessions, and what sessions hold there. */
interface Logged {
  readonly sessions: ReadonlyMap<number, Uint8Array>;
  readonly holds: ReadonlyMap<number, number>;
}

/** What an engine knows of all workers. */
export interface ModelNode {
  homeOf(session: number): number;
  /** Whether a session would be there after a crash. */
  isThere(session: number): boolean;
}

/** A worker's state that outlives its process, as of each append. */
export class ModelLog {
  readonly states: Logged[] = [{ sessions: new Map(), holds: new Map() }];
  durable = 0;
}

export class ModelEngine {
  readonly outcome = new Float64Array(OUTCOME_LENGTH);
  readonly sessions: Map<number, Uint8Array>;
  readonly holds: Map<number, number>;
  readonly known = new Set<number>();
  refusesWrites = false;
  /** Of the last call. */
  ended: number[] = [];

  constructor(
    private readonly log: ModelLog,
    private readonly node: ModelNode,
    private readonly worker: number,
  ) {
    const { sessions, holds } = log.states.at(-1) as Logged;
    this.sessions = new Map(sessions);
    this.holds = new Map(holds);
    for (const session of holds.keys()) if (!sessions.has(session)) this.known.add(session);
  }

  openSession(id: number, _ttlMs: number, digest: Uint8Array): Status {
    if (this.node.homeOf(id) !== this.worker) return Status.InvalidArgument;
    this.sessions.set(id, digest.slice());
    this.append();
    return Status.Ok;
  }

  resumeSession(id: number, digest: Uint8Array): Status {
    const known = this.sessions.get(id);
    this.outcome[OUTCOME_COUNT] = known === undefined ? 0 : TTL_MS;
    if (known === undefined) return Status.SessionUnknown;
    return Buffer.compare(known, digest) === 0 ? Status.Ok : Status.SessionForbidden;
  }

  admitSession(id: number): Status {
    if (this.node.homeOf(id) === this.worker) return Status.InvalidArgument;
    this.known.add(id);
    return Status.Ok;
  }

  endGuest(id: number): Status {
    if (this.sessions.has(id)) return Status.InvalidArgument;
    if (this.refusesWrites) return Status.DiskFull;
    if (this.node.isThere(id)) {
      throw new Error(
        `what session ${id} has at ${this.worker} was freed before its end was durable`,
      );
    }
    if (this.known.delete(id)) this.ended.push(id);
    if (this.holds.delete(id)) {
      this.append();
    }
    return Status.Ok;
  }

  guests(): Float64Array {
    const left = [...this.holds.keys()].filter((id) => !this.sessions.has(id));
    return Float64Array.from(new Set([...this.known, ...left])).sort();
  }

  /** As a lock taken by a frame of the session. False: SESSION_UNKNOWN. */
  hold(id: number): boolean {
    if (!this.sessions.has(id) && !this.known.has(id)) return false;
    this.holds.set(id, (this.holds.get(id) ?? 0) + 1);
    this.append();
    return true;
  }

  /** As a session that falls due: one step, and one append. */
  end(id: number): void {
    if (!this.sessions.delete(id)) return;
    this.holds.delete(id);
    this.ended.push(id);
    this.append();
  }

  private append(): void {
    this.log.states.push({ sessions: new Map(this.sessions), holds: new Map(this.holds) });
  }
}
