// What the log in memory can be told, for tests of what stands in front of it.

import { describe, expect, it } from 'vitest';
import { SimulatedClock } from '../../node/clock.js';
import { MemoryLog } from '../../node/log/memory-log.js';
import { AppendMaker, PARTITIONS, Recorder } from '../drive/log.js';

function open(delayMs?: number) {
  const clock = new SimulatedClock();
  const events = new Recorder();
  const options = { partitions: PARTITIONS, clock, events };
  const log = new MemoryLog(delayMs === undefined ? options : { ...options, delayMs });
  const maker = new AppendMaker();
  const append = () => {
    const records = maker.next(16);
    log.append(1, records, records.length);
    log.flush();
  };
  return { clock, events, log, append };
}

describe('the log in memory', () => {
  it('makes durable in flush', () => {
    const { log, append, events } = open();
    append();
    expect([log.durable, log.newestBatch, events.progress]).toEqual([1, 1, 1]);
  });

  it('makes durable after its delay, in order', () => {
    const { log, append, clock } = open(10);
    append();
    clock.advance(6);
    append();
    clock.advance(4);
    expect(log.durable).toBe(1);
    clock.advance(6);
    expect(log.durable).toBe(2);
  });

  it('settles nothing while it refuses, and all of it after', () => {
    const { log, append, events } = open();
    log.refuse('disk_full');
    append();
    append();
    expect([log.refusal, log.durable, events.progress]).toEqual(['disk_full', 0, 1]);
    log.refuse('none');
    expect([log.refusal, log.durable, log.pendingBytes]).toEqual(['none', 2, 0]);
  });

  it('never makes durable what was on its way when it failed', () => {
    const { log, append, clock, events } = open(10);
    append();
    log.fail(new Error('cause'));
    clock.advance(20);
    expect([log.durable, log.refusal]).toEqual([0, 'failed']);
    expect(events.failures[0]).toMatchObject({ code: 'LOG_FAILED', cause: { message: 'cause' } });
    expect(append).toThrow('told to fail');
  });
});
