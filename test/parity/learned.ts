// What a run has learnt of sessions and locks from answers and notices: who holds what under which token, and
// who waits. Steps name a hold or a wait by a number, and the run fills in one that there is.

import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import type { Result } from '../drive/drive.js';
import type { Notice } from '../drive/notices.js';
import type { Operation } from '../drive/operations.js';

interface Known {
  readonly session: number;
  readonly name: Uint8Array;
  /** Of the operation that asked for it. */
  readonly id: number;
  /** 0: it waits. */
  readonly token: number;
}

/** Holds and waits that are kept in mind. */
const KNOWN_MAX = 200;

export class Learned {
  private holds: Known[] = [];
  private waits: Known[] = [];

  /** A hold of this session, or of anybody where it is 0. */
  hold(session: number, pick: number): Known | undefined {
    return choose(this.holds, session, pick);
  }

  wait(session: number, pick: number): Known | undefined {
    return choose(this.waits, session, pick);
  }

  /** Takes in the results of a frame and what was told with it. */
  learn(
    session: number,
    operations: readonly Operation[],
    results: readonly Result[],
    notices: readonly Notice[],
  ): void {
    const answered = new Map(results.map((result) => [result.id, result]));
    for (const { id = 0, code, key, expectedRevision } of operations) {
      const result = answered.get(id);
      if (code === OperationCode.Lock && result === undefined) {
        this.waits.push({ session, name: key, id, token: 0 });
      } else if (code === OperationCode.Lock && result?.status === 'OK') {
        this.holds.push({ session, name: key, id, token: result.revision });
      } else if (code === OperationCode.Unlock && result?.status === 'OK' && result.count === 0) {
        this.holds = this.holds.filter(({ token }) => token !== Number(expectedRevision));
      }
    }
    this.hear(notices);
    this.holds = this.holds.slice(-KNOWN_MAX);
    this.waits = this.waits.slice(-KNOWN_MAX);
  }

  hear(notices: readonly Notice[]): void {
    for (const notice of notices) {
      const { session } = notice;
      if (notice.kind === 'ended') {
        this.holds = this.holds.filter((hold) => hold.session !== session);
        this.waits = this.waits.filter((wait) => wait.session !== session);
      } else if (notice.kind === 'answer') {
        const { id, status, revision } = notice.result;
        const at = this.waits.findIndex((each) => each.session === session && each.id === id);
        const [wait] = at < 0 ? [] : this.waits.splice(at, 1);
        if (wait !== undefined && status === 'OK') {
          this.holds.push({ ...wait, token: revision });
        }
      }
    }
  }
}

function choose(known: readonly Known[], session: number, pick: number): Known | undefined {
  const among = session === 0 ? known : known.filter((each) => each.session === session);
  return among[pick % Math.max(among.length, 1)];
}
