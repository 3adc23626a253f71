// The routing table in shared memory: the supervisor writes it, every worker reads it; `layout.ts` has its words, and
// `core-native/src/routing_table.rs` the reader of the Rust engine.
//
// MEMORY ORDER: a sequence lock (as in the Linux kernel's `seqlock.h`). The writer makes the sequence odd, stores
// what changes, and makes it even. A reader loads the sequence, copies, and loads it again; an odd or a changed one
// means that the copy is thrown away. Each word is stored and loaded by Atomics: plain access may be moved past the
// loads of the sequence, so that half of a change would pass as a whole. No reader ever holds up the writer.

import { PARTITIONS_MAX, WORKERS_MAX } from '../wire/limits.js';
import {
  ROUTING_EPOCHS,
  ROUTING_NODES,
  ROUTING_OWNERS,
  ROUTING_PARTITIONS,
  ROUTING_PORTS,
  ROUTING_SEQUENCE,
  ROUTING_STATES,
  ROUTING_VERSION,
  ROUTING_WORKERS,
  WORKER_SERVING,
} from './layout.js';

/** Copies that are begun in one `refresh` before the old one serves on: the writer may have lost its core. */
const COPIES_TRIED_MAX = 64;
/** In place of a copy's sequence, which is even. */
const NO_COPY = 1;

export interface WorkerChange {
  /** WORKER_*. */
  readonly state?: number;
  readonly port?: number;
  readonly epoch?: number;
  /** Below 2^53. */
  readonly node?: number;
}

/** Of the supervisor alone. */
export class RoutingWriter {
  private readonly words: Uint32Array;

  constructor(table: SharedArrayBuffer) {
    this.words = new Uint32Array(table);
  }

  /** Before any worker starts: these owners, one a partition, and workers that are starting, in version 1. */
  init(owners: Uint16Array, workers: number): void {
    if (!(workers >= 1 && workers <= WORKERS_MAX)) throw new RangeError(`${workers} workers`);
    if (owners.length < 1 || owners.length > PARTITIONS_MAX) {
      throw new RangeError(`${owners.length} partitions`);
    }
    if (owners.some((owner) => owner >= workers)) {
      throw new RangeError('a partition has an owner that is no worker');
    }
    this.change(() => {
      this.set(ROUTING_WORKERS, workers);
      this.set(ROUTING_PARTITIONS, owners.length);
      for (const [partition, owner] of owners.entries()) {
        this.set(ROUTING_OWNERS + partition, owner);
      }
    });
  }

  /** One version, whatever changes. */
  setWorker(index: number, { state, port, epoch, node }: WorkerChange): void {
    if (index >= Atomics.load(this.words, ROUTING_WORKERS)) {
      throw new RangeError(`there is no worker ${index}`);
    }
    this.change(() => {
      if (state !== undefined) this.set(ROUTING_STATES + index, state);
      if (port !== undefined) this.set(ROUTING_PORTS + index, port);
      if (epoch !== undefined) this.set(ROUTING_EPOCHS + index, epoch);
      if (node === undefined) return;
      this.set(ROUTING_NODES + 2 * index, node % 2 ** 32);
      this.set(ROUTING_NODES + 2 * index + 1, Math.floor(node / 2 ** 32));
    });
  }

  private change(write: () => void): void {
    const { words } = this;
    const sequence = Atomics.load(words, ROUTING_SEQUENCE);
    this.set(ROUTING_SEQUENCE, sequence + 1);
    write();
    this.set(ROUTING_VERSION, Atomics.load(words, ROUTING_VERSION) + 1);
    this.set(ROUTING_SEQUENCE, sequence + 2);
  }

  private set(index: number, value: number): void {
    Atomics.store(this.words, index, value);
  }
}

/** A copy of the table, as it was at the last `refresh`. */
export class RoutingReader {
  readonly workers: number;
  /** The worker of each partition. */
  owners: Uint16Array;
  /** Ascends with every change. */
  version = 0;
  private readonly words: Uint32Array;
  private sequence = NO_COPY;
  /** The words of the workers, from ROUTING_STATES on. */
  private members = new Uint32Array(ROUTING_OWNERS - ROUTING_STATES);
  // Take a copy until it is known to be whole.
  private spareOwners: Uint16Array;
  private spareMembers = new Uint32Array(ROUTING_OWNERS - ROUTING_STATES);

  /** Throws where the supervisor has not filled the table; waits for a change under way. */
  constructor(table: SharedArrayBuffer | Uint32Array) {
    this.words = table instanceof Uint32Array ? table : new Uint32Array(table);
    this.workers = Atomics.load(this.words, ROUTING_WORKERS);
    const partitions = Atomics.load(this.words, ROUTING_PARTITIONS);
    if (this.workers < 1 || partitions < 1) throw new RangeError('the routing table is empty');
    this.owners = new Uint16Array(partitions);
    this.spareOwners = new Uint16Array(partitions);
    while (!this.refresh());
  }

  /**
   * Takes a change over; whether there was one. One load where nothing has changed. A change that stays under way
   * is left for the next call.
   */
  refresh(): boolean {
    if (Atomics.load(this.words, ROUTING_SEQUENCE) === this.sequence) return false;
    for (let tried = 0; tried < COPIES_TRIED_MAX; tried++) {
      if (this.tryCopy()) return true;
    }
    return false;
  }

  /** WORKER_*. */
  stateOf(worker: number): number {
    return this.members[worker]!;
  }

  isServing(worker: number): boolean {
    return this.members[worker] === WORKER_SERVING;
  }

  /** Where the worker listens beside the shared port; 0: it does not. */
  portOf(worker: number): number {
    return this.members[ROUTING_PORTS - ROUTING_STATES + worker]!;
  }

  /** How often the worker was started. */
  epochOf(worker: number): number {
    return this.members[ROUTING_EPOCHS - ROUTING_STATES + worker]!;
  }

  /** 0: not known yet. */
  nodeOf(worker: number): number {
    const at = ROUTING_NODES - ROUTING_STATES + 2 * worker;
    return this.members[at]! + this.members[at + 1]! * 2 ** 32;
  }

  private tryCopy(): boolean {
    const { words, workers, spareMembers, spareOwners } = this;
    const sequence = Atomics.load(words, ROUTING_SEQUENCE);
    if ((sequence & 1) !== 0) return false;
    const version = Atomics.load(words, ROUTING_VERSION);
    for (let row = 0; row < ROUTING_NODES - ROUTING_STATES; row += WORKERS_MAX) {
      for (let at = row; at < row + workers; at++) {
        spareMembers[at] = Atomics.load(words, ROUTING_STATES + at);
      }
    }
    const nodes = ROUTING_NODES - ROUTING_STATES;
    for (let at = nodes; at < nodes + 2 * workers; at++) {
      spareMembers[at] = Atomics.load(words, ROUTING_STATES + at);
    }
    for (let partition = 0; partition < spareOwners.length; partition++) {
      spareOwners[partition] = Atomics.load(words, ROUTING_OWNERS + partition);
    }
    if (Atomics.load(words, ROUTING_SEQUENCE) !== sequence) return false;
    this.sequence = sequence;
    this.version = version;
    this.spareMembers = this.members;
    this.members = spareMembers;
    this.spareOwners = this.owners;
    this.owners = spareOwners;
    return true;
  }
}
