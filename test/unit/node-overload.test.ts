// OVERLOADED in place of a reply: one result for each operation that the reply answers, and for no other.

import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { Counters } from '../../node/counters.js';
import { Overload } from '../../node/overload.js';
import { FLAG_ENTRY } from '../../ts/wire/layout.js';
import { FRAME_BYTES_MAX_DEFAULT, RESULTS_PER_REPLY_MAX } from '../../ts/wire/limits.js';
import { ReplyWriter } from '../../ts/wire/reply.js';
import { Status } from '../../ts/wire/status.js';
import { bytes } from '../drive/operations.js';
import { type Answer, answersOf, FakePeer } from './node-fakes.js';

function replaced(write: (writer: ReplyWriter) => void): { answers: Answer[]; counters: Counters } {
  const counters = new Counters();
  const answers: Answer[] = [];
  const overload = new Overload({
    frameBytesMax: FRAME_BYTES_MAX_DEFAULT,
    outstandingMax: 10,
    counters,
    logger: pino({ level: 'silent' }),
    send: (_, reply) => answers.push(...answersOf(reply)),
    refuse: () => expect.unreachable(),
  });
  // Somewhere in a larger buffer, as an engine's reply is.
  const buffer = new Uint8Array(100_000);
  const writer = new ReplyWriter(buffer.subarray(8));
  writer.begin(RESULTS_PER_REPLY_MAX);
  write(writer);
  overload.replace(new FakePeer(1).asPeer, buffer.subarray(8, 8 + writer.finish()));
  return { answers, counters };
}

describe('a reply that is replaced', () => {
  it('answers what it answered, a scan once, and nothing that waits', () => {
    const { answers, counters } = replaced((writer) => {
      writer.result(1, Status.Ok, 7, 0);
      // 2 has no result: it waits for a lock.
      writer.entry(3, FLAG_ENTRY, bytes('a'), bytes('value'), 1, 0);
      writer.entry(3, FLAG_ENTRY, bytes('b'), bytes('value'), 2, 0);
      writer.closing(3, 0, bytes('cursor'), 2);
      writer.resultWithValue(9, bytes('value'), 3, 0);
    });
    expect(answers).toEqual(
      [1, 3, 9].map((id) => ({ id, status: Status.Overloaded, count: 0, revision: 0, value: '' })),
    );
    expect(counters.operationsOverloaded).toBe(3);
  });
});
