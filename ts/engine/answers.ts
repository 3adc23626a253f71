// What a session has had answered: the newest answers of operations with the flag `once`, so that one
// that is sent again after a broken connection is answered again and not done again.

import { ANSWERS_REMEMBERED_MAX } from '../wire/limits.js';

/** An answer of status Ok; others made no record, and are not remembered. */
export interface Answer {
  readonly revision: number;
  readonly ttlMs: number;
  readonly count: number;
  readonly value: Uint8Array;
  /** The append that made what it says. */
  readonly append: number;
}

export class Answers {
  /** By id of the operation, oldest first. */
  private readonly answers = new Map<number, Answer>();

  find(id: number): Answer | undefined {
    return this.answers.get(id);
  }

  /** Takes in the answer to an id that is not remembered. */
  remember(id: number, answer: Answer): void {
    this.answers.set(id, answer);
    if (this.answers.size <= ANSWERS_REMEMBERED_MAX) return;
    const [oldest] = this.answers.keys();
    this.answers.delete(oldest as number);
  }
}
