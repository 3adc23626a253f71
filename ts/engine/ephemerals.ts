// Ephemeral keys: which entry lives with which session, and in which order the keys came to be a
// session's. An entry has its place here where other entries have theirs in the expiry heap, so that a
// write finds out whether its key is ephemeral without a lookup.
//
// A session is only a number here: in a snapshot its keys come before it.

import { type Entries, EPHEMERAL_FROM, NO_EXPIRY } from './entries.js';
import { recordBytes } from './records.js';

interface Ephemeral {
  handle: number;
  readonly owner: Owner;
}

class Owner {
  /** In the order in which they came to be its. */
  readonly keys = new Set<Ephemeral>();
  /** Bytes of the records that end them all. */
  endBytes = 0;

  constructor(readonly session: number) {}
}

export class Ephemerals {
  private readonly places: (Ephemeral | undefined)[] = [];
  private readonly vacant: number[] = [];
  private readonly owners = new Map<number, Owner>();

  constructor(private readonly entries: Entries) {}

  /** The session that an entry lives with; 0: none. */
  sessionOf(handle: number): number {
    return this.at(handle)?.owner.session ?? 0;
  }

  /** Bytes of the records that end the keys of a session. */
  endBytesOf(session: number): number {
    return this.owners.get(session)?.endBytes ?? 0;
  }

  hasKeys(session: number): boolean {
    return this.owners.has(session);
  }

  /** The entries of a session, in the order in which they came to be its. */
  handlesOf(session: number): number[] {
    const owner = this.owners.get(session);
    return owner === undefined ? [] : Array.from(owner.keys, ({ handle }) => handle);
  }

  /**
   * Makes an entry live with a session from now on; 0: with none. One that does already keeps its place.
   * It is not in the expiry heap.
   */
  set(handle: number, session: number): void {
    const before = this.at(handle);
    if ((before?.owner.session ?? 0) === session) return;
    if (before !== undefined) this.takeOut(before);
    if (session === 0) return;

    let owner = this.owners.get(session);
    if (owner === undefined) {
      owner = new Owner(session);
      this.owners.set(session, owner);
    }
    const place = this.vacant.pop() ?? this.places.length;
    const ephemeral = { handle, owner };
    this.places[place] = ephemeral;
    owner.keys.add(ephemeral);
    owner.endBytes += this.endBytes(handle);
    this.entries.setExpiryAt(handle, EPHEMERAL_FROM + place);
  }

  /** An entry has moved to another handle. */
  moved(handle: number): void {
    const ephemeral = this.at(handle);
    if (ephemeral !== undefined) ephemeral.handle = handle;
  }

  private takeOut(ephemeral: Ephemeral): void {
    const { handle, owner } = ephemeral;
    const place = this.entries.expiryAt(handle) - EPHEMERAL_FROM;
    this.places[place] = undefined;
    this.vacant.push(place);
    owner.keys.delete(ephemeral);
    owner.endBytes -= this.endBytes(handle);
    if (owner.keys.size === 0) this.owners.delete(owner.session);
    this.entries.setExpiryAt(handle, NO_EXPIRY);
  }

  private at(handle: number): Ephemeral | undefined {
    const { entries } = this;
    if (!entries.isEphemeral(handle)) return undefined;
    return this.places[entries.expiryAt(handle) - EPHEMERAL_FROM];
  }

  private endBytes(handle: number): number {
    return recordBytes(this.entries.keyLength(handle), 0);
  }
}
