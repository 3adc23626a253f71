// The supervisor, over threads that do as the test says and a clock that stands still: who is told what, and when
// the process ends. Real threads are in `test/e2e/workers.test.ts`.

import { afterEach, describe, expect, it } from 'vitest';
import { SimulatedClock } from '../../node/clock.js';
import { defaultSettings } from '../../node/config/config.js';
import { Tokens } from '../../node/config/tokens.js';
import { BEATS, Counters, KEYS, LOG_BATCHES, RECORDS } from '../../node/counters.js';
import { NodeError } from '../../node/errors.js';
import {
  DEATH_WINDOW_MS,
  HANG_CHECK_MS,
  HANG_DEADLINE_MS,
  STOP_HANG_DEADLINE_MS,
  THREAD_GONE_DEADLINE_MS,
} from '../../node/limits.js';
import { LogError } from '../../node/log/log.js';
import { createLoggerTo } from '../../node/logger.js';
import { Supervisor, type SupervisorOptions } from '../../node/supervisor.js';
import type { ThreadEvents } from '../../node/thread.js';
import {
  type FromThread,
  failureOf,
  type ThreadStart,
  type ToThread,
} from '../../node/thread-messages.js';
import { placePartitions } from '../../ts/engine/ring.js';
import {
  WORKER_DOWN,
  WORKER_SERVING,
  WORKER_STARTING,
  WORKER_STOPPING,
} from '../../ts/shared/layout.js';
import { RoutingReader } from '../../ts/shared/routing-table.js';
import { until } from '../e2e/server-fixture.js';

/** A thread that obeys; `holds` names what it does not do until the test does it. */
class FakeThread {
  readonly told: ToThread[] = [];
  hasEnded = false;

  constructor(
    readonly start: ThreadStart,
    private readonly events: ThreadEvents,
    private readonly holds: ReadonlySet<string>,
  ) {}

  post(message: ToThread): void {
    this.told.push(message);
    if (this.holds.has(message.kind)) return;
    if (message.kind === 'accept') this.say({ kind: 'accepting', port: message.port || 7777 });
    if (message.kind === 'stop') {
      this.say({ kind: 'stopped', failure: undefined });
      this.exit();
    }
    if (message.kind === 'end') this.exit();
  }

  /** In a later turn, as messages come. */
  say(message: FromThread): void {
    setImmediate(() => {
      if (!this.hasEnded) this.events.onMessage(message);
    });
  }

  started(node = 100 + this.start.worker): void {
    this.say({ kind: 'started', port: 5000 + this.start.worker, node });
  }

  fail(error: unknown): void {
    this.say({ kind: 'failed', failure: failureOf(error) });
  }

  exit(): void {
    setImmediate(() => {
      if (this.hasEnded) return;
      this.hasEnded = true;
      this.events.onExit();
    });
  }

  beat(): void {
    const block = new Float64Array(
      this.start.memory.figures[this.start.worker] as SharedArrayBuffer,
    );
    block[BEATS] = (block[BEATS] as number) + 1;
  }
}

class Stage {
  readonly threads: FakeThread[] = [];
  readonly clock = new SimulatedClock();
  readonly events: string[] = [];
  readonly fatal: unknown[] = [];
  readonly holds = new Set<string>();
  readonly supervisor: Supervisor;

  constructor(workers: number, more: Partial<SupervisorOptions> = {}) {
    const stream = {
      write: (line: string) => this.events.push((JSON.parse(line) as { event: string }).event),
    };
    this.supervisor = new Supervisor({
      settings: defaultSettings({ port: 0, durability: 'none', workers }),
      workers,
      tokens: undefined,
      clock: this.clock,
      logger: createLoggerTo(stream, 'info'),
      engine: { addon: undefined },
      sharesPorts: true,
      onRecovery: undefined,
      onFatal: (error) => this.fatal.push(error),
      startThread: (start, events) => {
        const thread = new FakeThread(start, events, this.holds);
        this.threads.push(thread);
        if (!this.holds.has('started')) thread.started();
        return thread;
      },
      ...more,
    });
  }

  /** The newest thread of a worker. */
  thread(worker: number): FakeThread {
    const found = this.threads.filter(({ start }) => start.worker === worker).at(-1);
    if (found === undefined) throw new Error(`worker ${worker} has no thread`);
    return found;
  }

  get routing(): RoutingReader {
    return new RoutingReader((this.threads[0] as FakeThread).start.memory.routing);
  }

  states(): number[] {
    const { routing } = this;
    return Array.from({ length: routing.workers }, (_, index) => routing.stateOf(index));
  }

  kinds(worker: number): string[] {
    return this.thread(worker).told.map(({ kind }) => kind);
  }

  /** Kills a worker and waits until its next thread serves. */
  async kill(worker: number): Promise<void> {
    const thread = this.thread(worker);
    thread.fail(new Error('broken'));
    await until(() => this.states()[worker] === WORKER_DOWN, 'the death');
    thread.exit();
    await until(() => this.states()[worker] === WORKER_SERVING, 'the revival');
  }
}

const stages: Stage[] = [];
function stageOf(workers: number, more: Partial<SupervisorOptions> = {}): Stage {
  const stage = new Stage(workers, more);
  stages.push(stage);
  return stage;
}

afterEach(async () => {
  for (const stage of stages.splice(0)) {
    stage.holds.clear();
    const stopping = stage.supervisor.abandon();
    for (const thread of stage.threads) thread.exit();
    await stopping;
  }
});

describe('the start of several workers', () => {
  it('places the partitions, tells all who serves, and has each listen at one port', async () => {
    const stage = stageOf(3, { tokens: new Tokens(['secret']) });
    stage.holds.add('started');
    const starting = stage.supervisor.start();
    await until(() => stage.threads.length === 3, 'the threads');
    expect(stage.states()).toEqual([WORKER_STARTING, WORKER_STARTING, WORKER_STARTING]);
    expect(stage.routing.owners).toEqual(placePartitions(64, 3));
    stage.thread(1).started();
    await until(() => stage.states()[1] === WORKER_SERVING, 'worker 1');
    expect(stage.kinds(1)).toEqual([]);
    stage.thread(0).started();
    stage.thread(2).started();
    const port = await starting;
    expect(port).toBeGreaterThan(0);
    const { routing } = stage;
    for (const worker of [0, 1, 2]) {
      expect(stage.thread(worker).told).toEqual([{ kind: 'accept', port, isShared: true }]);
      expect(routing.isServing(worker)).toBe(true);
      expect(routing.portOf(worker)).toBe(5000 + worker);
      expect(routing.nodeOf(worker)).toBe(100 + worker);
      expect(routing.epochOf(worker)).toBe(1);
    }
    const { tokenDigests, workers, sendsLog } = stage.thread(2).start;
    expect(new Tokens(tokenDigests ?? []).accepts('secret')).toBe(true);
    expect([workers, sendsLog]).toEqual([3, false]);
  });

  it('lets worker 0 alone listen where ports can not be shared', async () => {
    const stage = stageOf(2, { sharesPorts: false });
    expect(await stage.supervisor.start()).toBe(7777);
    expect(stage.thread(0).told).toEqual([{ kind: 'accept', port: 0, isShared: false }]);
    expect(stage.kinds(1)).toEqual([]);
  });

  it('fails with the reason of the first that fails, and ends the others', async () => {
    const stage = stageOf(3);
    stage.holds.add('started');
    const starting = stage.supervisor.start();
    await until(() => stage.threads.length === 3, 'the threads');
    stage.thread(0).started();
    stage.thread(1).fail(new LogError('DATA_DAMAGED', 'the log is damaged'));
    await expect(starting).rejects.toMatchObject({ name: 'LogError', code: 'DATA_DAMAGED' });
    await expect(starting).rejects.toBeInstanceOf(LogError);
    expect(stage.threads.every(({ hasEnded }) => hasEnded)).toBe(true);
    expect(stage.threads).toHaveLength(3);
    expect(stage.fatal).toEqual([]);
  });

  it('fails where a thread ends without a word, and where none gets the port', async () => {
    const silent = stageOf(2);
    silent.holds.add('started');
    const starting = silent.supervisor.start();
    await until(() => silent.threads.length === 2, 'the threads');
    silent.thread(1).exit();
    await expect(starting).rejects.toMatchObject({ code: 'WORKER_DIED' });

    const refused = stageOf(2, { sharesPorts: false });
    refused.holds.add('accept');
    const listening = refused.supervisor.start();
    await until(() => refused.threads.length === 2 && refused.kinds(0).length === 1, 'the accept');
    const failure = failureOf(new NodeError('PORT_IN_USE', 'taken'));
    refused.thread(0).say({ kind: 'refused', failure });
    await expect(listening).rejects.toMatchObject({ code: 'PORT_IN_USE' });
    expect(refused.threads.every(({ hasEnded }) => hasEnded)).toBe(true);
  });

  it('fails where a worker that is up dies before all are', async () => {
    const stage = stageOf(2, { sharesPorts: false });
    stage.holds.add('accept');
    const starting = stage.supervisor.start();
    await until(() => stage.threads.length === 2 && stage.kinds(0).length === 1, 'the accept');
    stage.thread(1).fail(new LogError('LOG_FAILED', 'the disk is gone'));
    stage.thread(1).exit();
    await until(() => stage.states()[1] === WORKER_DOWN, 'the death');
    stage.thread(0).say({ kind: 'accepting', port: 7777 });
    await expect(starting).rejects.toMatchObject({ code: 'LOG_FAILED' });
    expect(stage.threads.every(({ hasEnded }) => hasEnded)).toBe(true);
  });

  it('adds up how far the recoveries are', async () => {
    const seen: unknown[] = [];
    const stage = stageOf(2, { onRecovery: (progress) => seen.push(progress) });
    stage.holds.add('started');
    const starting = stage.supervisor.start();
    await until(() => stage.threads.length === 2, 'the threads');
    const tell = (worker: number, bytesDone: number, bytesTotal: number) =>
      stage
        .thread(worker)
        .say({ kind: 'recovery', progress: { phase: 'segments', bytesDone, bytesTotal } });
    tell(0, 10, 100);
    tell(1, 5, 50);
    tell(0, 20, 100);
    stage.thread(0).started();
    stage.thread(1).started();
    await starting;
    expect(seen).toEqual([
      { phase: 'segments', bytesDone: 10, bytesTotal: 100 },
      { phase: 'segments', bytesDone: 15, bytesTotal: 150 },
      { phase: 'segments', bytesDone: 25, bytesTotal: 150 },
    ]);
  });
});

describe('the death of a worker', () => {
  it('is told to all at once, and another thread follows when the first has ended', async () => {
    const stage = stageOf(3);
    const port = await stage.supervisor.start();
    const { memory } = stage.thread(1).start;
    const block = new Float64Array(memory.figures[1] as SharedArrayBuffer);
    new Counters(block).frames = 7;
    block[KEYS] = 9;
    block[RECORDS] = 11;
    block[LOG_BATCHES] = 13;
    const version = stage.routing.version;
    stage.thread(1).fail(new Error('broken'));
    await until(() => stage.states()[1] === WORKER_DOWN, 'the death');
    expect(stage.routing.version).toBeGreaterThan(version);
    expect(stage.threads).toHaveLength(3);
    stage.thread(1).exit();
    await until(() => stage.kinds(1).length === 1 && stage.threads.length === 4, 'the next');
    expect(stage.states()).toEqual([WORKER_SERVING, WORKER_SERVING, WORKER_SERVING]);
    expect(stage.routing.epochOf(1)).toBe(2);
    expect(stage.thread(1).told).toEqual([{ kind: 'accept', port, isShared: true }]);
    expect([stage.kinds(0), stage.kinds(2)]).toEqual([['accept'], ['accept']]);
    // What it had counted is kept beside, and it begins with zeros.
    expect([new Counters(block).frames, block[KEYS]]).toEqual([0, 0]);
    expect(block).toContain(7);
    // What comes back with its log does not shrink meanwhile.
    expect([block[RECORDS], block[LOG_BATCHES]]).toEqual([11, 13]);
    await until(() => stage.events.includes('worker_restarted'), 'the log line');
    expect(stage.events).toEqual(['worker_died', 'worker_restarted']);
    expect(stage.fatal).toEqual([]);
  });

  it('is seen where its thread just ends', async () => {
    const stage = stageOf(2);
    await stage.supervisor.start();
    stage.thread(0).exit();
    await until(() => stage.threads.length === 3, 'the next thread');
    expect(stage.events).toContain('worker_died');
  });

  it('ends the process the third time within a minute, with the reason, once all have stopped', async () => {
    const stage = stageOf(2);
    await stage.supervisor.start();
    await stage.kill(0);
    await stage.kill(1);
    stage.holds.add('stop');
    stage.thread(0).fail(new LogError('LOG_FAILED', 'the disk is gone'));
    await until(() => stage.thread(0).hasEnded, 'the end of worker 0');
    expect(stage.fatal).toEqual([]);
    stage.thread(1).exit();
    await until(() => stage.fatal.length > 0, 'the end');
    expect(stage.fatal).toMatchObject([{ name: 'LogError', code: 'LOG_FAILED' }]);
    expect(stage.kinds(1).at(-1)).toBe('stop');
    expect(stage.threads.slice(-2).every(({ hasEnded }) => hasEnded)).toBe(true);
    expect(stage.threads).toHaveLength(4);
  });

  it('does not end it where a minute has passed since the first', async () => {
    const stage = stageOf(2);
    await stage.supervisor.start();
    await stage.kill(0);
    await stage.kill(1);
    for (let ms = 0; ms < DEATH_WINDOW_MS; ms += HANG_CHECK_MS) {
      for (const worker of [0, 1]) stage.thread(worker).beat();
      stage.clock.advance(HANG_CHECK_MS);
    }
    await stage.kill(0);
    expect(stage.fatal).toEqual([]);
    expect(stage.states()).toEqual([WORKER_SERVING, WORKER_SERVING]);
  });

  it('counts a restart that fails', async () => {
    const stage = stageOf(2);
    await stage.supervisor.start();
    stage.holds.add('started');
    const first = stage.thread(0);
    first.fail(new Error('broken'));
    first.exit();
    for (const threads of [3, 4]) {
      await until(() => stage.threads.length === threads, 'the next thread');
      const next = stage.thread(0);
      next.fail(new LogError('DATA_DAMAGED', 'it can not recover'));
      next.exit();
    }
    await until(() => stage.fatal.length > 0, 'the end');
    expect(stage.fatal).toMatchObject([{ code: 'DATA_DAMAGED' }]);
  });
});

describe('a worker that hangs', () => {
  async function hung(): Promise<Stage> {
    const stage = stageOf(2);
    await stage.supervisor.start();
    for (let ms = 0; ms < HANG_DEADLINE_MS; ms += HANG_CHECK_MS) {
      stage.thread(0).beat();
      if (ms === 0) stage.thread(1).beat();
      expect(stage.fatal).toEqual([]);
      stage.clock.advance(HANG_CHECK_MS);
    }
    return stage;
  }

  it('ends the process, though its thread can not be stopped', async () => {
    const stage = await hung();
    stage.clock.advance(HANG_CHECK_MS);
    await until(() => stage.fatal.length > 0, 'the end');
    expect(stage.fatal).toMatchObject([{ code: 'WORKER_HANGS' }]);
    expect(stage.kinds(0).at(-1)).toBe('stop');
    expect(stage.kinds(1)).toEqual(['accept']);
  });

  it('is not waited for by a stop for longer than it takes to be sure', async () => {
    const stage = stageOf(2);
    await stage.supervisor.start();
    stage.holds.add('stop');
    const stopped = stage.supervisor.stop();
    const ended = stopped.then(
      () => undefined,
      (error: unknown) => error,
    );
    stage.thread(0).exit();
    for (let ms = 0; ms <= STOP_HANG_DEADLINE_MS; ms += HANG_CHECK_MS)
      stage.clock.advance(HANG_CHECK_MS);
    expect(await ended).toMatchObject({ code: 'WORKER_HANGS' });
  });

  it('ends the process where it has broken down and its thread stays', async () => {
    const stage = stageOf(2);
    await stage.supervisor.start();
    stage.thread(1).fail(new Error('broken'));
    await until(() => stage.events.includes('worker_died'), 'its death');
    stage.clock.advance(THREAD_GONE_DEADLINE_MS);
    await until(() => stage.fatal.length === 1, 'the end');
    expect(stage.fatal).toMatchObject([{ code: 'WORKER_HANGS' }]);
    expect(stage.threads).toHaveLength(2);
  });

  it('is none where its loop turns once in a while', async () => {
    const stage = await hung();
    for (const worker of [0, 1]) stage.thread(worker).beat();
    stage.clock.advance(HANG_CHECK_MS);
    expect(stage.kinds(0)).toEqual(['accept']);
  });
});

describe('a stop', () => {
  it('tells all, waits for all, and is done once', async () => {
    const stage = stageOf(3);
    await stage.supervisor.start();
    stage.holds.add('stop');
    const stopping = stage.supervisor.stop();
    expect(stage.supervisor.stop()).toBe(stopping);
    expect(stage.states()).toEqual([WORKER_STOPPING, WORKER_STOPPING, WORKER_STOPPING]);
    let isDone = false;
    void stopping.then(() => {
      isDone = true;
    });
    for (const worker of [2, 0]) {
      stage.thread(worker).say({ kind: 'stopped', failure: undefined });
      stage.thread(worker).exit();
    }
    await until(() => stage.states()[0] === WORKER_DOWN, 'worker 0');
    expect([isDone, stage.states()[1]]).toEqual([false, WORKER_STOPPING]);
    stage.thread(1).exit();
    await stopping;
    expect(stage.events).not.toContain('worker_died');
    expect(stage.threads).toHaveLength(3);
  });

  it('says what went wrong with a log', async () => {
    const stage = stageOf(2);
    await stage.supervisor.start();
    stage.holds.add('stop');
    const stopping = stage.supervisor.stop();
    const failure = failureOf(new LogError('LOG_FAILED', 'the last sync failed'));
    stage.thread(1).say({ kind: 'stopped', failure });
    for (const worker of [0, 1]) stage.thread(worker).exit();
    await expect(stopping).rejects.toMatchObject({ name: 'LogError', code: 'LOG_FAILED' });
  });

  it('ends a worker that is only being started again', async () => {
    const stage = stageOf(2);
    await stage.supervisor.start();
    stage.holds.add('started');
    stage.thread(0).fail(new Error('broken'));
    stage.thread(0).exit();
    await until(() => stage.threads.length === 3, 'the next thread');
    await stage.supervisor.stop();
    expect(stage.kinds(0)).toEqual(['end']);
    expect(stage.threads).toHaveLength(3);
  });
});

describe('a rolling restart', () => {
  it('takes one worker after the other', async () => {
    const stage = stageOf(3);
    await stage.supervisor.start();
    const down: number[] = [];
    stage.holds.add('stop');
    const restarting = stage.supervisor.restartAll();
    for (const worker of [0, 1, 2]) {
      await until(() => stage.states()[worker] === WORKER_STOPPING, `worker ${worker}`);
      down.push(stage.states().filter((state) => state !== WORKER_SERVING).length);
      stage.thread(worker).say({ kind: 'stopped', failure: undefined });
      stage.thread(worker).exit();
    }
    await restarting;
    expect(down).toEqual([1, 1, 1]);
    expect(stage.states()).toEqual([WORKER_SERVING, WORKER_SERVING, WORKER_SERVING]);
    expect([0, 1, 2].map((worker) => stage.routing.epochOf(worker))).toEqual([2, 2, 2]);
    expect(stage.events.filter((event) => event === 'worker_died')).toEqual([]);
  });

  it('waits for a worker that has died', async () => {
    const stage = stageOf(2);
    await stage.supervisor.start();
    stage.thread(1).fail(new Error('broken'));
    await until(() => stage.states()[1] === WORKER_DOWN, 'the death');
    const restarting = stage.supervisor.restart(0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(stage.states()[0]).toBe(WORKER_SERVING);
    stage.thread(1).exit();
    await restarting;
    expect(stage.states()).toEqual([WORKER_SERVING, WORKER_SERVING]);
    expect(stage.routing.epochOf(0)).toBe(2);
  });

  it('never starts a second thread for a worker that dies while another is waited for', async () => {
    const stage = stageOf(2);
    await stage.supervisor.start();
    const first = stage.thread(0);
    stage.holds.add('started');
    stage.thread(1).fail(new Error('broken'));
    stage.thread(1).exit();
    await until(() => stage.threads.length === 3, 'the next thread of worker 1');
    const restarting = stage.supervisor.restart(0);
    await new Promise((resolve) => setTimeout(resolve, 5));
    first.fail(new Error('broken too'));
    await until(() => stage.states()[0] === WORKER_DOWN, 'the death of worker 0');
    stage.thread(1).started();
    await until(() => stage.states()[1] === WORKER_SERVING, 'worker 1');
    first.exit();
    await until(() => stage.threads.length >= 4, 'the next thread of worker 0');
    await new Promise((resolve) => setTimeout(resolve, 20));
    const open = stage.threads.filter(({ start, hasEnded }) => start.worker === 0 && !hasEnded);
    expect(open).toHaveLength(1);
    stage.holds.clear();
    stage.thread(0).started();
    await restarting;
    expect(stage.states()).toEqual([WORKER_SERVING, WORKER_SERVING]);
    expect(stage.fatal).toEqual([]);
  });

  it('knows no worker that is not there', async () => {
    const stage = stageOf(2);
    await stage.supervisor.start();
    expect(() => stage.supervisor.kill(2, 'throw')).toThrow(RangeError);
    expect(() => stage.supervisor.restart(-1)).toThrow(RangeError);
  });
});
