// The ring: which member (a node, or a worker of one) has which partition. Consistent hashing with bounded
// loads: each member has virtual nodes in proportion to its weight, at the XXH32 (seed 0) of `<name>#<n>` on
// a ring of 2^32 positions; a partition goes to the first virtual node at or clockwise from the beginning of
// its arc whose member is not full, partitions in ascending order. A member is full with its capacity, which
// is, unless it says otherwise, LOAD_FACTOR times its fair share, rounded up. So the list of members alone,
// in whatever order, says where everything is, no member has much more than its share, and a member
// that comes or goes moves little but its own.
//
// This file is the contract, the checks and the TypeScript half; `native-ring.ts` has the Rust one. Both give the
// same owners.
// Source: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018.

import { PARTITIONS_MAX } from '../wire/limits.js';
import { partitionOfKey } from '../wire/partition.js';
import { xxh32 } from '../wire/xxh32.js';

/** Virtual nodes of a member for each unit of its weight. */
export const VIRTUAL_NODES_PER_WEIGHT = 64;
/** The most that a member has of its fair share, as a fraction: 5/4. */
export const LOAD_FACTOR_NUMERATOR = 5;
export const LOAD_FACTOR_DENOMINATOR = 4;
export const RING_MEMBERS_MAX = 65_536;
export const RING_WEIGHT_MAX = 1_000;
/** Virtual nodes of all members together. */
export const RING_VIRTUAL_NODES_MAX = 8 * 1024 * 1024;
/** Bytes of UTF-8. */
export const RING_NAME_BYTES_MAX = 255;

export interface RingMember {
  readonly name: string;
  /** 1..RING_WEIGHT_MAX; 1 unless it says otherwise. */
  readonly weight?: number | undefined;
  /** Partitions that it can have at most; its bounded load unless it says otherwise. */
  readonly capacity?: number | undefined;
}

/** Members that were checked, in byte order of their names. */
export interface Membership {
  readonly names: readonly string[];
  readonly encoded: readonly Uint8Array[];
  readonly weights: Uint32Array;
  readonly capacities: Uint32Array;
}

/** A partition that changes hands. */
export interface Move {
  readonly partition: number;
  readonly from: string;
  readonly to: string;
}

export class RingError extends Error {
  override readonly name = 'RingError';
  constructor(
    readonly code:
      | 'RING_EMPTY'
      | 'RING_DUPLICATE'
      | 'RING_MEMBER_INVALID'
      | 'RING_PARTITIONS'
      | 'RING_FULL'
      | 'RING_TOO_LARGE',
    message: string,
  ) {
    super(message);
  }
}

/** What a ring's work is done by: one half for each engine. */
export interface RingLibrary {
  /** The member of each partition. */
  place(members: Membership, partitions: number): Uint16Array;
  /**
   * The member of each of many keys. Key `i` is `keys[ends[i - 1], ends[i])`, the first from 0 on; its member goes to
   * `into[i]`.
   */
  lookupMany(owners: Uint16Array, keys: Uint8Array, ends: Uint32Array, into: Uint16Array): void;
}

export class Ring {
  /** In byte order; members are known by their index here. */
  readonly names: readonly string[];
  /** Partitions that each can have at most. */
  readonly capacities: Uint32Array;
  /** The member of each partition. */
  readonly owners: Uint16Array;

  /** Throws `RingError`. `partitions`: a power of two, 1..PARTITIONS_MAX. */
  constructor(
    members: readonly RingMember[],
    readonly partitions: number,
    private readonly library: RingLibrary = tsRing,
  ) {
    const checked = checkMembers(members, partitions);
    this.names = checked.names;
    this.capacities = checked.capacities;
    this.owners = library.place(checked, partitions);
  }

  /** The member that has a key. */
  lookup(key: Uint8Array): number {
    return this.owners[partitionOfKey(key, 0, key.length, this.partitions)] as number;
  }

  /** See `RingLibrary.lookupMany`. */
  lookupMany(keys: Uint8Array, ends: Uint32Array, into: Uint16Array): void {
    this.library.lookupMany(this.owners, keys, ends, into);
  }

  /** How many partitions each member has. */
  loads(): Uint32Array {
    const loads = new Uint32Array(this.names.length);
    for (const owner of this.owners) loads[owner] = (loads[owner] as number) + 1;
    return loads;
  }
}

/** The partitions that change hands from one ring to the next, ascending. Throws `RING_PARTITIONS`. */
export function plan(old: Ring, next: Ring): Move[] {
  if (old.partitions !== next.partitions) {
    throw new RingError(
      'RING_PARTITIONS',
      `a plan is of rings with as many partitions, not ${old.partitions} and ${next.partitions}`,
    );
  }
  const moves: Move[] = [];
  for (let partition = 0; partition < old.partitions; partition++) {
    const from = old.names[old.owners[partition] as number] as string;
    const to = next.names[next.owners[partition] as number] as string;
    if (from !== to) moves.push({ partition, from, to });
  }
  return moves;
}

/** The worker of each partition of a node; the same for equal arguments, whenever and wherever. */
export function placePartitions(partitions: number, workers: number): Uint16Array {
  const ring = new Ring(
    Array.from({ length: workers }, (_, worker) => ({ name: `worker-${worker}` })),
    partitions,
  );
  const workerOf = ring.names.map((name) => Number(name.slice('worker-'.length)));
  return ring.owners.map((owner) => workerOf[owner] as number);
}

/** The TypeScript half. */
export const tsRing: RingLibrary = {
  place({ encoded, weights, capacities }, partitions) {
    const points = virtualNodes(encoded, weights);
    const count = points.length;
    const owners = new Uint16Array(partitions);
    const room = capacities.slice();
    // From a virtual node to the next one that may have room: between them all are full, and stay so.
    const onward = Uint32Array.from(points, (_, index) => (index + 1) % count);
    const arc = 2 ** 32 / partitions;
    for (let partition = 0, first = 0; partition < partitions; partition++) {
      const position = partition * arc;
      while (first < count && positionOf(points[first] as number) < position) first++;
      let at = first % count;
      while (room[memberOf(points[at] as number)] === 0) {
        const next = onward[at] as number;
        if (room[memberOf(points[next] as number)] === 0) onward[at] = onward[next] as number;
        at = next;
      }
      const member = memberOf(points[at] as number);
      owners[partition] = member;
      room[member] = (room[member] as number) - 1;
    }
    return owners;
  },

  lookupMany(owners, keys, ends, into) {
    let start = 0;
    for (let index = 0; index < ends.length; index++) {
      const end = ends[index] as number;
      into[index] = owners[partitionOfKey(keys, start, end, owners.length)] as number;
      start = end;
    }
  },
};

const MEMBER_FACTOR = RING_MEMBERS_MAX;

function positionOf(point: number): number {
  return Math.floor(point / MEMBER_FACTOR);
}

function memberOf(point: number): number {
  return point % MEMBER_FACTOR;
}

/** All virtual nodes as position times MEMBER_FACTOR plus member: in order of position, then member. */
function virtualNodes(encoded: readonly Uint8Array[], weights: Uint32Array): Float64Array {
  const total = weights.reduce((sum, weight) => sum + weight, 0) * VIRTUAL_NODES_PER_WEIGHT;
  const points = new Float64Array(total);
  const text = new Uint8Array(RING_NAME_BYTES_MAX + 12);
  let count = 0;
  for (const [member, name] of encoded.entries()) {
    text.set(name);
    text[name.length] = 0x23; // #
    const numberAt = name.length + 1;
    const virtual = (weights[member] as number) * VIRTUAL_NODES_PER_WEIGHT;
    for (let number = 0; number < virtual; number++) {
      const position = xxh32(text, 0, writeDecimal(text, numberAt, number), 0);
      points[count++] = position * MEMBER_FACTOR + member;
    }
  }
  return points.sort();
}

/** Writes a number in decimal digits and returns where it ends. */
function writeDecimal(text: Uint8Array, at: number, number: number): number {
  let digits = 1;
  for (let rest = number; rest >= 10; rest = Math.floor(rest / 10)) digits++;
  let rest = number;
  for (let place = at + digits - 1; place >= at; place--) {
    text[place] = 0x30 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  return at + digits;
}

function checkMembers(members: readonly RingMember[], partitions: number): Membership {
  const isPower = Number.isInteger(partitions) && Math.log2(partitions) % 1 === 0;
  if (!isPower || partitions < 1 || partitions > PARTITIONS_MAX) {
    const allowed = `a power of two from 1 to ${PARTITIONS_MAX}`;
    throw new RingError('RING_PARTITIONS', `partitions is ${partitions}; use ${allowed}`);
  }
  if (members.length === 0) throw new RingError('RING_EMPTY', 'a ring has at least one member');
  if (members.length > RING_MEMBERS_MAX) {
    throw new RingError('RING_TOO_LARGE', `a ring has at most ${RING_MEMBERS_MAX} members`);
  }
  const encoder = new TextEncoder();
  const sorted = members
    .map((member) => ({ ...member, encoded: encoder.encode(member.name) }))
    .sort((one, other) => compareBytes(one.encoded, other.encoded));
  for (const [index, { name, encoded, weight = 1, capacity = 0 }] of sorted.entries()) {
    if (name === sorted[index - 1]?.name) {
      throw new RingError('RING_DUPLICATE', `two members are called "${name}"`);
    }
    const hasName = encoded.length >= 1 && encoded.length <= RING_NAME_BYTES_MAX;
    if (!hasName || new TextDecoder().decode(encoded) !== name) {
      throw invalid(name, `a name has 1 to ${RING_NAME_BYTES_MAX} bytes of UTF-8`);
    }
    if (!Number.isInteger(weight) || weight < 1 || weight > RING_WEIGHT_MAX) {
      throw invalid(name, `a weight is a whole number from 1 to ${RING_WEIGHT_MAX}`);
    }
    if (!Number.isInteger(capacity) || capacity < 0 || capacity > PARTITIONS_MAX) {
      throw invalid(name, `a capacity is a whole number from 0 to ${PARTITIONS_MAX}`);
    }
  }
  const weights = Uint32Array.from(sorted, ({ weight = 1 }) => weight);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total * VIRTUAL_NODES_PER_WEIGHT > RING_VIRTUAL_NODES_MAX) {
    const most = RING_VIRTUAL_NODES_MAX / VIRTUAL_NODES_PER_WEIGHT;
    throw new RingError('RING_TOO_LARGE', `all weights are ${total}, at most ${most} are possible`);
  }
  const capacities = Uint32Array.from(
    sorted,
    ({ capacity, weight = 1 }) => capacity ?? boundedLoad(partitions, weight, total),
  );
  const capacity = capacities.reduce((sum, each) => sum + each, 0);
  if (capacity < partitions) {
    throw new RingError(
      'RING_FULL',
      `the members can have ${capacity} partitions together, and there are ${partitions}; add members or capacity`,
    );
  }
  const names = sorted.map(({ name }) => name);
  return { names, encoded: sorted.map(({ encoded }) => encoded), weights, capacities };
}

/** The partitions that make a member of this weight full. */
function boundedLoad(partitions: number, weight: number, total: number): number {
  const share = LOAD_FACTOR_NUMERATOR * partitions * weight;
  return Math.ceil(share / (LOAD_FACTOR_DENOMINATOR * total));
}

function invalid(name: string, rule: string): RingError {
  return new RingError('RING_MEMBER_INVALID', `member "${name}": ${rule}`);
}

function compareBytes(one: Uint8Array, other: Uint8Array): number {
  const length = Math.min(one.length, other.length);
  for (let index = 0; index < length; index++) {
    const difference = (one[index] as number) - (other[index] as number);
    if (difference !== 0) return difference;
  }
  return one.length - other.length;
}
