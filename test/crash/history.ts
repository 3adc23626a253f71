// What all clients of a run did, over every life of the node: one clock, which moves at each call and
// each answer.

import type { Action, Operation, Outcome } from '../linearizability/operation.js';

export interface Pending {
  readonly key: string;
  readonly client: number;
  readonly action: Action;
  readonly called: number;
}

export class History {
  private clock = 0;
  private readonly operations = new Map<string, Operation[]>();
  /** Asked and without an answer; only their node's death tells that none of them can still come. */
  private readonly unanswered = new Set<Pending>();
  /** Those whose call has failed, and which may have been carried out. */
  private readonly failed = new Set<Pending>();
  private total = 0;

  /** Operations that are ended. */
  get size(): number {
    return this.total;
  }

  get now(): number {
    return this.clock;
  }

  begin(key: string, client: number, action: Action): Pending {
    const pending = { key, client, action, called: ++this.clock };
    this.unanswered.add(pending);
    return pending;
  }

  /** The answer is there. */
  end(pending: Pending, outcome: Outcome): void {
    this.unanswered.delete(pending);
    this.keep({ ...pending, outcome, returned: ++this.clock });
  }

  /** It certainly had no effect and told nothing, as where it was never sent. */
  forget(pending: Pending): void {
    this.unanswered.delete(pending);
  }

  /** Its call has failed: it happened before the next `settle`, or never will. */
  fail(pending: Pending): void {
    this.failed.add(pending);
  }

  /** Whoever could have carried out what has failed is dead. */
  settle(): void {
    const returned = ++this.clock;
    for (const pending of this.failed) {
      this.unanswered.delete(pending);
      this.keep({ ...pending, outcome: { status: 'unknown' }, returned });
    }
    this.failed.clear();
  }

  /** The node is dead: what is unanswered happened before now or never will. */
  crash(): void {
    const returned = ++this.clock;
    for (const pending of this.unanswered) {
      this.keep({ ...pending, outcome: { status: 'unknown' }, returned });
    }
    this.unanswered.clear();
    this.failed.clear();
  }

  /** Another moment, for what is no operation on a key. */
  moment(): number {
    return ++this.clock;
  }

  keys(): string[] {
    return [...this.operations.keys()];
  }

  of(key: string): readonly Operation[] {
    return this.operations.get(key) ?? [];
  }

  private keep(operation: Operation): void {
    this.total++;
    const of = this.operations.get(operation.key);
    if (of === undefined) this.operations.set(operation.key, [operation]);
    else of.push(operation);
  }
}
