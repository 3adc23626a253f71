// Watches that go on from a place in the history. They go through it in cohorts: one reader for all that
// join on its way, so that a thousand watches that come back at once cost one pass and not a thousand. A
// cohort that has come to where live watches are becomes live, without a gap or a repeat.

import { WATCH_COHORTS_MAX, WATCH_TURN_RECORDS } from '../limits.js';
import { eventOf } from './events.js';
import { type History, HistoryReader } from './history.js';
import type { Outbox } from './outbox.js';
import { type Watch, WatchState } from './watch.js';
import { WatchIndex } from './watch-index.js';

class Cohort {
  readonly index = new WatchIndex();
  readonly watches = new Set<Watch>();
  readonly reader: HistoryReader;

  constructor(
    history: History,
    /** Read up to here. */
    public at: number,
  ) {
    this.reader = new HistoryReader(history);
  }

  add(watch: Watch): void {
    this.index.add(watch);
    this.watches.add(watch);
  }

  remove(watch: Watch): void {
    if (this.watches.delete(watch)) this.index.remove(watch);
  }
}

export interface CatchUpOptions {
  readonly history: History;
  readonly outbox: Outbox;
  readonly partitionOf: (key: Uint8Array) => number;
  /** Up to which position live watches have been told. */
  readonly told: () => number;
  readonly setState: (watch: Watch, state: WatchState, work?: object) => void;
  readonly goLive: (watch: Watch) => void;
  /** The peer has no room: the watch comes back when it has. */
  readonly park: (watch: Watch) => void;
  /** What the watch would go on with is forgotten. */
  readonly startOver: (watch: Watch) => void;
}

export class CatchUp {
  private readonly cohorts: Cohort[] = [];
  /** Watches from before all cohorts, while there are as many as may be. */
  private readonly waiting = new Set<Watch>();
  private readonly found: Watch[] = [];
  /** Where live watches were at the last step. */
  private toldBefore = 0;

  constructor(private readonly options: CatchUpOptions) {}

  get hasWork(): boolean {
    return this.cohorts.length > 0;
  }

  /** Takes a watch that goes on behind `watch.from`. */
  join(watch: Watch): void {
    const { history, told, goLive, startOver } = this.options;
    if (watch.state === WatchState.Ended) return;
    const start = this.startOf(watch);
    if (start < history.oldest) startOver(watch);
    else if (start >= told()) goLive(watch);
    else this.place(watch, start);
  }

  /** The watch ends. */
  leave(watch: Watch): void {
    if (watch.work instanceof Cohort) watch.work.remove(watch);
    else this.waiting.delete(watch);
  }

  /** Reads on for every cohort; bounded work, but more than has come since, so that each arrives one day. */
  step(): void {
    const told = this.options.told();
    const share = Math.ceil(WATCH_TURN_RECORDS / Math.max(1, this.cohorts.length));
    const each = Math.max(share, 2 * (told - this.toldBefore));
    this.toldBefore = told;
    for (const cohort of [...this.cohorts]) {
      this.checkOvertaken(cohort);
      this.read(cohort, each);
      if (cohort.at === this.options.told()) {
        for (const watch of cohort.watches) this.options.goLive(watch);
        cohort.watches.clear();
      }
      if (cohort.watches.size === 0) this.cohorts.splice(this.cohorts.indexOf(cohort), 1);
    }
    if (this.waiting.size > 0 && this.cohorts.length < WATCH_COHORTS_MAX) this.admit();
  }

  /** Into the cohort that has least to read before the watch begins. */
  private place(watch: Watch, start: number): void {
    const { history, setState } = this.options;
    let cohort: Cohort | undefined;
    for (const one of this.cohorts) {
      if (one.at <= start && (cohort === undefined || one.at > cohort.at)) cohort = one;
    }
    if (cohort === undefined && this.cohorts.length < WATCH_COHORTS_MAX) {
      if (this.cohorts.length === 0) this.toldBefore = this.options.told();
      cohort = new Cohort(history, start);
      this.cohorts.push(cohort);
    }
    setState(watch, WatchState.CatchingUp, cohort ?? this.waiting);
    if (cohort === undefined) this.waiting.add(watch);
    else cohort.add(watch);
  }

  /** A position behind which all comes that a watch was not told; -1 where some of it is forgotten. */
  private startOf(watch: Watch): number {
    const { history, partitionOf } = this.options;
    if (!watch.isByRevision) return watch.from;
    return history.positionBefore(partitionOf(watch.keyBytes), watch.from);
  }

  private checkOvertaken(cohort: Cohort): void {
    const { oldest } = this.options.history;
    if (cohort.at >= oldest) return;
    cohort.at = oldest;
    for (const watch of cohort.watches) {
      if (this.startOf(watch) >= oldest) continue;
      cohort.remove(watch);
      this.options.startOver(watch);
    }
  }

  private read(cohort: Cohort, records: number): void {
    const { reader, index } = cohort;
    const { outbox, told, park } = this.options;
    const end = told();
    reader.seek(cohort.at);
    for (let left = records; left > 0 && cohort.at < end && cohort.watches.size > 0; left--) {
      if (!reader.next()) break;
      cohort.at = reader.position;
      const { found } = this;
      index.match(reader, found);
      if (found.length === 0) continue;
      const event = eventOf(reader);
      for (const watch of found.splice(0)) {
        if (!watch.isBehind(event.revision, event.position) || watch.work !== cohort) continue;
        left--;
        if (outbox.isReady(watch.owner, event.size)) {
          outbox.push(watch, event, false);
        } else {
          watch.moveBefore(event);
          cohort.remove(watch);
          park(watch);
        }
      }
    }
    outbox.flushAll(false);
  }

  /** Those that waited begin, the one from furthest back first, so that the others find its cohort. */
  private admit(): void {
    const waiting = [...this.waiting].map((watch) => ({ watch, start: this.startOf(watch) }));
    this.waiting.clear();
    waiting.sort((left, right) => left.start - right.start);
    for (const { watch } of waiting) this.join(watch);
  }
}
