// A watch as its consumer knows it: one stream, or, where what is watched is spread over the workers of a node,
// one of each worker, told as one. A snapshot is complete when all of them are; what is lost at one is lost, since
// nobody could tell which part of what was told is void; the place is that of each.

import { EventKind } from '../wire/generated/rondo/wire/event-kind.js';
import { Status } from '../wire/status.js';
import { type RondoError, statusError } from './errors.js';
import type { Router } from './router.js';
import type { Routes } from './routes.js';
import { addressesOf } from './scan.js';
import { type Pushed, placeEvent } from './watch-events.js';
import {
  type StreamStart,
  type Streams,
  type WatchSink,
  WatchStream,
  type WatchSubject,
} from './watch-stream.js';
import type { Place, Places } from './watch-token.js';

/** Where a watch begins. */
export type WatchStart =
  | Exclude<StreamStart, { readonly from: 'place' }>
  | { readonly from: 'places'; readonly places: Places };

/** What a group needs of all watches of its client. */
export interface Groups extends Streams {
  readonly router: Router;
  begin(stream: WatchStream): void;
}

export class WatchGroup {
  private parts: WatchStream[] = [];
  /** By which the parts were made. */
  private routes: Routes | undefined;
  /** Parts whose snapshot is complete, or that have none. */
  private readonly whole = new Set<WatchStream>();
  private isEnded = false;
  /** The parts begin anew because one has: what they say of it was said. */
  private isRenewing = false;

  constructor(
    private readonly groups: Groups,
    private readonly subject: WatchSubject,
    private start: WatchStart,
    private readonly sink: WatchSink,
  ) {
    this.open();
  }

  /** Where the events that have come end, at each worker; undefined while there is none to go on from. */
  get places(): Places | undefined {
    return this.placesWith(undefined, undefined);
  }

  /** Whether it has ended. */
  get isOver(): boolean {
    return this.isEnded;
  }

  /** Whether every part is there. */
  get isLive(): boolean {
    return this.parts.every(({ id }) => id !== 0);
  }

  get subjectText(): string {
    return `watch ${JSON.stringify(this.subject.key)}`;
  }

  /** One a worker. */
  get streams(): readonly WatchStream[] {
    return this.parts;
  }

  /** Begins anew with a snapshot, behind a `compacted`. */
  renew(): void {
    this.parts[0]?.renew();
  }

  /** Ends it for good. */
  end(): void {
    this.isEnded = true;
    for (const part of this.parts) part.end();
  }

  /** The node has other workers than it had, or is known to have several now. */
  routesChanged(): void {
    const { router } = this.groups;
    if (this.isEnded || router.routes === this.routes) return;
    const isSpread = this.parts.length > 1 || addressesOf(router, this.subject.key).length > 1;
    this.routes = router.routes;
    if (isSpread && this.subject.isPrefix) this.reopen();
  }

  private reopen(): void {
    const isProven = this.parts.some((part) => part.isProven);
    for (const part of this.parts) part.end();
    if (isProven) {
      this.start = { from: 'snapshot' };
      this.sink.take(placeEvent(EventKind.Compacted, { node: 0, partitions: 0 }, undefined));
      if (this.isEnded) return;
    }
    this.open();
  }

  private open(): void {
    const { groups, start, subject } = this;
    const { router } = groups;
    this.routes = router.routes;
    const addresses = subject.isPrefix ? addressesOf(router, subject.key) : [0];
    const places = start.from === 'places' ? start.places : undefined;
    // Before the node has told of its workers, one is asked for all, and hears that there are others.
    const isKnown = router.routes !== undefined;
    if (places !== undefined && isKnown && places.length !== addresses.length) {
      this.isEnded = true;
      this.sink.ended(statusError(Status.TokenForeign, this.subjectText, false, 0));
      return;
    }
    this.whole.clear();
    this.parts = addresses.map((address, index) => {
      const place = places?.[index];
      const begin: StreamStart =
        place === undefined ? (start as StreamStart) : { from: 'place', place };
      const part: WatchStream = new WatchStream(
        groups,
        subject,
        begin,
        {
          started: () => this.started(),
          take: (event) => this.take(part, event),
          moved: () => this.sink.moved?.(),
          ended: (error) => this.ended(error),
          scattered: () => this.reopen(),
        },
        // A key says by itself whose it is.
        subject.isPrefix ? address : 0,
      );
      return part;
    });
    if (start.from !== 'snapshot') for (const part of this.parts) this.whole.add(part);
    for (const part of [...this.parts]) groups.begin(part);
  }

  private started(): void {
    if (this.parts.every((part) => part.isProven)) this.sink.started();
  }

  private ended(error: RondoError): void {
    if (this.isEnded) return;
    this.end();
    this.sink.ended(error);
  }

  private take(part: WatchStream, event: Pushed): boolean {
    if (this.parts.length === 1) return this.sink.take(event);
    const { kind, origin, position } = event;
    if (kind === EventKind.Compacted) return this.compacted(part, event);
    if (kind === EventKind.Synced) {
      const wasWhole = this.whole.size === this.parts.length;
      this.whole.add(part);
      if (wasWhole || this.whole.size < this.parts.length) return true;
    }
    const place = position === undefined ? undefined : { ...origin, position };
    const places = place === undefined ? undefined : this.placesWith(part, place);
    return this.sink.take({ ...event, position: places && position, places });
  }

  /** All begin anew: their keys were told as one, and are void as one. */
  private compacted(part: WatchStream, event: Pushed): boolean {
    this.whole.clear();
    if (this.isRenewing) return true;
    this.isRenewing = true;
    const isTaken = this.sink.take(event);
    for (const other of this.parts) if (other !== part && !this.isEnded) other.renew();
    this.isRenewing = false;
    return isTaken;
  }

  /** The places of all, with that of one part as it is about to be. */
  private placesWith(part: WatchStream | undefined, place: Place | undefined): Places | undefined {
    if (this.whole.size < this.parts.length && this.parts.length > 1) return undefined;
    const places: Place[] = [];
    for (const other of this.parts) {
      const found = other === part ? place : other.place;
      if (found === undefined) return undefined;
      places.push(found);
    }
    return places.length === 0 ? undefined : places;
  }
}
