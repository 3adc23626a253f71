// The search for deadlocks through several workers, against workers whose waits a test lays down and links that
// deliver in any order between different workers.

import { describe, expect, it } from 'vitest';
import { SimulatedClock } from '../../node/clock.js';
import type { Blocker } from '../../node/deadlock-graph.js';
import { DeadlockSearch } from '../../node/deadlock-search.js';
import { DEADLOCK_DELAY_MS, DEADLOCK_PAIRS_PER_LOOK_MAX } from '../../node/limits.js';
import type { Links } from '../../node/links/links.js';
import type { MessageKind } from '../../node/links/messages.js';
import {
  NOTICE_BYTES_AT,
  NOTICE_DATA_AT,
  NOTICE_KIND_AT,
  NOTICE_SESSION_AT,
  NOTICE_STRUCT_AT,
} from '../../ts/engine/coordination.js';
import { OUTCOME_LENGTH, OUTCOME_WAITS } from '../../ts/engine/engine.js';
import { NOTICE_BLOCKER } from '../../ts/engine/workers.js';
import {
  RESULT_FLAGS,
  RESULT_ID,
  RESULT_KEY_LENGTH,
  RESULT_REVISION,
  RESULT_TTL_MS,
  writeU64,
} from '../../ts/wire/layout.js';
import { Random, seedOf } from '../parity/random.js';

const SEED = seedOf(20_261_124);

/** A worker's engine, as far as it waits. */
class FakeWorker {
  readonly outcome = new Float64Array(OUTCOME_LENGTH);
  readonly notices: Uint8Array<ArrayBuffer>;
  readonly refused: string[] = [];
  /** How often it was asked. */
  asked = 0;
  pairs: Blocker[] = [];

  constructor(
    readonly worker: number,
    noticesBytes: number,
  ) {
    this.notices = new Uint8Array(noticesBytes);
  }

  listBlockers(sessions: Float64Array): number {
    this.asked++;
    const listed = Array.from(sessions).flatMap((session) =>
      this.pairs.filter((pair) => pair.session === session),
    );
    const view = new DataView(this.notices.buffer);
    let at = 0;
    for (const { session, id, since, lock, blocker, isBehind } of listed) {
      const name = Buffer.from(lock);
      const bytes = (NOTICE_DATA_AT + name.length + 7) & ~7;
      if (at + bytes > this.notices.length) return -1;
      view.setUint32(at + NOTICE_BYTES_AT, bytes, true);
      view.setUint8(at + NOTICE_KIND_AT, NOTICE_BLOCKER);
      writeU64(view, at + NOTICE_SESSION_AT, session);
      view.setUint32(at + NOTICE_STRUCT_AT + RESULT_ID, id, true);
      view.setUint8(at + NOTICE_STRUCT_AT + RESULT_FLAGS, isBehind ? 1 : 0);
      view.setUint16(at + NOTICE_STRUCT_AT + RESULT_KEY_LENGTH, name.length, true);
      writeU64(view, at + NOTICE_STRUCT_AT + RESULT_REVISION, blocker);
      writeU64(view, at + NOTICE_STRUCT_AT + RESULT_TTL_MS, since);
      this.notices.set(name, at + NOTICE_DATA_AT);
      at += bytes;
    }
    return listed.length;
  }

  refuse(session: number, id: number, detail: Uint8Array): void {
    const left = this.pairs.filter((pair) => pair.session !== session || pair.id !== id);
    if (left.length === this.pairs.length) return;
    this.pairs = left;
    this.refused.push(`${session}/${id}: ${Buffer.from(detail)}`);
  }
}

/** Workers with a search each. Messages wait until `settle`, which delivers them in an order of the seed. */
class Network {
  readonly clock = new SimulatedClock();
  readonly workers: FakeWorker[];
  readonly searches: DeadlockSearch[];
  /** What happens before a message is delivered, such as a wait that ends. */
  onDeliver: (delivered: number) => void = () => {};
  readonly down = new Set<number>();
  private readonly random: Random;
  private readonly sent: (() => void)[][] = [];
  private delivered = 0;

  constructor(count: number, seed = SEED, noticesBytes = 65_536) {
    this.random = new Random(seed);
    this.workers = Array.from({ length: count }, (_, at) => new FakeWorker(at, noticesBytes));
    this.searches = this.workers.map(
      (worker) =>
        new DeadlockSearch({
          links: this.linksOf(worker.worker),
          engine: worker,
          clock: this.clock,
          sessions: () => new Set(worker.pairs.map(({ session }) => session)),
          onRefuse: (session, id, detail) => worker.refuse(session, id, detail),
        }),
    );
  }

  get refused(): string[] {
    return this.workers.flatMap(({ refused }) => refused);
  }

  /** Session `session` waits at a worker for another one, since so many ms after the start. */
  wait(worker: number, session: number, blocker: number, more: Partial<Blocker> = {}): void {
    const base = { worker, session, blocker, id: session * 10, since: this.clock.now() };
    const pair = { ...base, lock: `lock-${blocker}`, isBehind: false, ...more };
    this.workers[worker]!.pairs.push(pair);
  }

  /** Lets `ms` go by, and all that comes of it. */
  async pass(ms: number): Promise<void> {
    for (const [at, { outcome, pairs }] of this.workers.entries()) {
      outcome[OUTCOME_WAITS] = pairs.length;
      this.searches[at]!.afterCall();
    }
    this.clock.advance(ms);
    await this.settle();
  }

  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 20; ) {
      await Promise.resolve();
      const ready = this.sent.filter((queue) => queue.length > 0);
      if (ready.length === 0) quiet++;
      else {
        quiet = 0;
        this.onDeliver(this.delivered++);
        this.random.pick(ready).shift()?.();
      }
    }
  }

  private linksOf(from: number): Links {
    const queues = this.workers.map(() => {
      const queue: (() => void)[] = [];
      this.sent.push(queue);
      return queue;
    });
    return {
      worker: from,
      workers: this.workers.length,
      isUp: (to) => !this.down.has(to),
      waitingBytes: () => 0,
      send: (to, kind: MessageKind, a, b, bytes = new Uint8Array(0)) => {
        if (this.down.has(to)) return false;
        const copy = bytes.slice();
        queues[to]!.push(() => {
          if (!this.down.has(to) && !this.down.has(from)) {
            this.searches[to]!.onMessage(from, kind, a, b, copy);
          }
        });
        return true;
      },
    };
  }
}

describe('a deadlock through several workers', () => {
  it('ends with the youngest wait, refused once, with the text of the cycle', async () => {
    for (let seed = SEED; seed < SEED + 50; seed++) {
      const network = new Network(3, seed);
      network.wait(0, 1, 2);
      network.wait(1, 2, 3, { isBehind: true });
      network.clock.advance(5);
      network.wait(2, 3, 1);
      await network.pass(DEADLOCK_DELAY_MS + 10);
      await network.pass(DEADLOCK_DELAY_MS * 10);
      expect(network.refused).toEqual([
        [
          '3/30: 00000000000003 waits for "lock-1" held by 00000000000001',
          '00000000000001 waits for "lock-2" held by 00000000000002',
          '00000000000002 waits for "lock-3" behind 00000000000003',
        ].join('\n'),
      ]);
    }
  });

  it('is found by others where the youngest wait has no connection of its own', async () => {
    const network = new Network(2);
    network.wait(0, 1, 2);
    network.wait(1, 2, 1, { since: network.clock.now() + 1 });
    network.workers[1]!.outcome[OUTCOME_WAITS] = 0;
    network.workers[0]!.outcome[OUTCOME_WAITS] = 1;
    network.searches[0]!.afterCall();
    network.clock.advance(DEADLOCK_DELAY_MS + 1);
    await network.settle();
    expect(network.workers[1]!.refused).toHaveLength(1);
    expect(network.refused[0]).toMatch(/^2\/20: /);
  });

  it('is not searched for before its time, nor with one worker', async () => {
    const network = new Network(2);
    network.wait(0, 1, 2);
    network.wait(1, 2, 1);
    await network.pass(DEADLOCK_DELAY_MS - 1);
    expect(network.workers.map(({ asked }) => asked)).toEqual([0, 0]);
    const alone = new Network(1);
    alone.wait(0, 1, 2);
    alone.wait(0, 2, 1);
    await alone.pass(10 * DEADLOCK_DELAY_MS);
    expect(alone.workers[0]?.asked).toBe(0);
    expect(alone.refused).toEqual([]);
  });

  it('costs nothing once no one waits', async () => {
    const network = new Network(2);
    network.wait(0, 1, 2);
    await network.pass(DEADLOCK_DELAY_MS * 3);
    network.workers[0]!.pairs = [];
    await network.pass(DEADLOCK_DELAY_MS);
    const before = network.workers[0]!.asked;
    expect(before).toBeGreaterThan(0);
    await network.pass(DEADLOCK_DELAY_MS * 100);
    expect(network.workers[0]!.asked).toBe(before);
  });

  it('is none where a wait waits for another task of its own session at the same lock', async () => {
    const network = new Network(2);
    network.wait(0, 1, 2, { lock: 'a', since: network.clock.now() + 1, isBehind: true });
    network.wait(0, 2, 1, { lock: 'a' });
    await network.pass(DEADLOCK_DELAY_MS * 10);
    expect(network.refused).toEqual([]);
  });

  it('is none where its steps were never there together', async () => {
    let seen = 0;
    for (let seed = SEED; seed < SEED + 100; seed++) {
      const network = new Network(2, seed);
      network.wait(0, 1, 2);
      // When the search has seen the first step it ends; then the second one begins.
      network.onDeliver = (delivered) => {
        if (delivered !== seed % 4) return;
        network.workers[0]!.pairs = [];
        network.wait(1, 2, 1);
        seen++;
      };
      await network.pass(DEADLOCK_DELAY_MS + 1);
      await network.pass(DEADLOCK_DELAY_MS * 5);
      expect(network.refused).toEqual([]);
    }
    expect(seen).toBeGreaterThan(20);
  });

  it('is found behind a long queue with few questions', async () => {
    const network = new Network(2);
    const count = 500;
    for (let session = 1; session <= count; session++) {
      const since = network.clock.now() + 1;
      network.wait(0, session, session + 1, { since, isBehind: true });
    }
    network.wait(1, count + 1, count, { since: network.clock.now() + 2 });
    for (let turn = 0; turn < 4; turn++) await network.pass(DEADLOCK_DELAY_MS);
    expect(network.refused.map((text) => text.slice(0, 3))).toEqual([`${count + 1}`]);
    // Asked one behind the other it would be a question a wait.
    expect(network.workers[1]!.asked).toBeLessThan(100);
  });

  it('survives a worker that goes down while it is asked', async () => {
    const network = new Network(3);
    network.wait(0, 1, 2);
    network.wait(1, 2, 1, { since: network.clock.now() + 1 });
    let downs = 0;
    network.onDeliver = () => {
      if (downs++ > 0) return;
      network.down.add(2);
      for (const search of network.searches.slice(0, 2)) search.onDown(2);
    };
    await network.pass(DEADLOCK_DELAY_MS * 4);
    expect(network.refused).toHaveLength(1);
    expect(network.refused[0]).toMatch(/^2\/20: /);
  });

  it('is found where answers have no room for all sessions', async () => {
    const network = new Network(2, SEED, 200);
    for (let session = 1; session <= 6; session++) {
      const blocker = (session % 6) + 1;
      network.wait(session % 2, session, blocker, { since: network.clock.now() + session });
    }
    await network.pass(DEADLOCK_DELAY_MS * 3);
    expect(network.refused.map((text) => text.slice(0, 4))).toEqual(['6/60']);
  });
});

describe('a turn in which waits are looked for', () => {
  it('goes through a bounded number of pairs, and the next ones through the rest', async () => {
    const network = new Network(2, SEED, 1_048_576);
    const [worker] = network.workers as [FakeWorker];
    for (let session = 1; session <= 300; session++) {
      for (let other = 0; other < 60; other++) network.wait(0, session, 10_000 + other);
    }
    const looked = new Set<number>();
    const list = worker.listBlockers.bind(worker);
    worker.listBlockers = (sessions) => {
      for (const session of sessions) looked.add(session);
      return list(sessions);
    };
    worker.outcome[OUTCOME_WAITS] = 300;
    network.searches[0]!.afterCall();
    network.clock.advance(DEADLOCK_DELAY_MS);
    expect(looked.size).toBeLessThan(DEADLOCK_PAIRS_PER_LOOK_MAX / 60 + 64);
    for (let turn = 0; turn < 4; turn++) network.clock.advance(DEADLOCK_DELAY_MS);
    expect(looked.size).toBe(300);
  });
});
