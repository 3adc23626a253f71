// Several engines as one node, driven as its workers do: what one leaves to others they execute, sessions
// are admitted where they come as guests, and their end is told to all.

import { sessionText } from '../../ts/engine/coordination.js';
import type { EngineOptions } from '../../ts/engine/engine.js';
import { WORKER_DOWN, WORKER_SERVING } from '../../ts/shared/layout.js';
import { partitionOfKey } from '../../ts/wire/partition.js';
import { Status } from '../../ts/wire/status.js';
import { Drive, effects, type Left, type Outcome, type Result, told } from './drive.js';
import { type CreateEngine, OPTIONS } from './engines.js';
import { bytes, encodeRequest, type Operation } from './operations.js';
import { routingTable, setState } from './routing.js';

/** What came of a frame at all workers. */
export interface Joined {
  refusal: Status;
  /** By id of the operation; entries of one scan in their order. */
  results: Result[];
  /** By worker, in brief. */
  effects: string[][];
  told: string[][];
  /** Of all workers. */
  records: Uint8Array[];
}

export class Workers {
  readonly table: Uint32Array;
  readonly revisions: BigUint64Array;
  readonly drives: Drive[];
  readonly options: EngineOptions;
  private readonly owners: readonly number[];
  private readonly absent = new Set<number>();
  /** Sessions that have ended at their home. */
  private readonly ended = new Set<number>();

  /** Partitions are dealt out in turn. */
  constructor(
    private readonly create: CreateEngine,
    readonly count: number,
    options: Partial<EngineOptions> = {},
  ) {
    this.options = { ...OPTIONS, ...options };
    const { partitions } = this.options;
    this.owners = Array.from({ length: partitions }, (_, partition) => partition % count);
    this.table = routingTable(this.owners, count);
    this.revisions = new BigUint64Array(new SharedArrayBuffer(partitions * 8));
    this.drives = Array.from({ length: count }, (_, worker) => new Drive(this.engine(worker)));
  }

  /** An engine that stands in the place of a worker, as after its restart. */
  engine(worker: number) {
    const { table, revisions } = this;
    return this.create({ ...this.options, routing: { worker, table, revisions } });
  }

  at(worker: number): Drive {
    return this.drives[worker] as Drive;
  }

  ownerOf(key: Uint8Array): number {
    return this.owners[partitionOfKey(key, 0, key.length, this.options.partitions)] as number;
  }

  /** A key of this worker: a tag, then the name. */
  key(worker: number, name = ''): string {
    for (let tag = 0; ; tag++) {
      const key = `{${tag}}${name}`;
      if (this.ownerOf(bytes(key)) === worker) return key;
    }
  }

  /** A session whose home is this worker; the lowest id, or the one after so many others. */
  session(worker: number, others = 0): number {
    let left = others;
    for (let id = 1; ; id++) {
      if (this.homeOf(id) === worker && left-- === 0) return id;
    }
  }

  homeOf(session: number): number {
    return this.ownerOf(bytes(sessionText(session)));
  }

  /** Whether a worker is there: what would be forwarded to it is answered UNAVAILABLE where not. */
  setServing(worker: number, isServing: boolean): void {
    setState(this.table, worker, isServing ? WORKER_SERVING : WORKER_DOWN);
    if (isServing) this.absent.delete(worker);
    else this.absent.add(worker);
  }

  /** Opens a session at its home. */
  open(session: number, ttlMs?: number): void {
    const { status } = this.at(this.homeOf(session)).openSession(session, ttlMs);
    if (status !== 'OK') throw new Error(`session ${session}: ${status}`);
  }

  /** Runs a frame of a session (0: of none) that comes to this worker, there and where it is forwarded to. */
  run(worker: number, session: number, ...operations: Operation[]): Joined {
    const joined = this.nothing();
    const take = (at: number, outcome: Outcome): void => {
      joined.results.push(...outcome.results);
      this.tell(joined, at, outcome);
    };
    this.admit(worker, session);
    const outcome = this.at(worker).frame(encodeRequest(operations), session);
    joined.refusal = outcome.refusal;
    take(worker, outcome);
    for (const { worker: other, frame, operations: entry } of outcome.forwards) {
      if (this.absent.has(other)) {
        joined.results.push(...entry.map(({ id }) => unavailable(id)));
        continue;
      }
      this.admit(other, session);
      const there = this.at(other).frame(frame, session, true);
      if (there.refusal !== Status.Ok) throw new Error(`a forward refused with ${there.refusal}`);
      if (there.forwards.length > 0) throw new Error(`worker ${other} forwards again`);
      take(other, there);
    }
    joined.results.sort((left, right) => left.id - right.id);
    return joined;
  }

  /** Moves time on at all workers. */
  advance(now: number): Joined {
    const joined = this.nothing();
    for (const [worker, drive] of this.drives.entries())
      this.tell(joined, worker, drive.advance(now));
    return joined;
  }

  close(): void {
    for (const { engine } of this.drives) engine.close();
  }

  private nothing(): Joined {
    return {
      refusal: Status.Ok,
      results: [],
      effects: this.drives.map(() => []),
      told: this.drives.map(() => []),
      records: [],
    };
  }

  private admit(worker: number, session: number): void {
    if (session === 0 || this.homeOf(session) === worker) return;
    if (!this.ended.has(session)) this.at(worker).engine.admitSession(session);
  }

  /** Takes in what a call left, and ends guests whose session has ended at its home. */
  private tell(joined: Joined, worker: number, left: Left): void {
    joined.effects[worker]?.push(...effects(left));
    joined.told[worker]?.push(...told(left));
    joined.records.push(left.recordBytes);
    for (const notice of left.notices) {
      if (notice.kind !== 'ended' || this.homeOf(notice.session) !== worker) continue;
      this.ended.add(notice.session);
      for (const [other, drive] of this.drives.entries()) {
        if (other !== worker) this.tell(joined, other, drive.endGuest(notice.session));
      }
    }
  }
}

/** As the node answers an operation of a worker that is not there. */
function unavailable(id: number): Result {
  const nothing = new Uint8Array(0);
  const figures = { flags: 0, count: 0, revision: 0, ttlMs: 0 };
  return { id, status: 'UNAVAILABLE', key: nothing, value: nothing, ...figures };
}
