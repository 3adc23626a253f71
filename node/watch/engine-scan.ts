// Pages of keys for snapshots of watches, read by executing a scan of the node's own.

import { type Engine, INPUT_SESSION, OUTCOME_POSITION } from '../../ts/engine/engine.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import { FLAG_ENTRY, FLAG_KEYS_ONLY, FLAG_MORE } from '../../ts/wire/layout.js';
import { ReplyReader } from '../../ts/wire/reply.js';
import { RequestWriter } from '../../ts/wire/request.js';
import { Status, statusName } from '../../ts/wire/status.js';
import type { Clock } from '../clock.js';
import { NodeError } from '../errors.js';
import type { Scan, ScanEntry } from './snapshots.js';

const SCAN_ID = 1;

/**
 * `afterCall` is called right behind each engine call: it stores the records that the call made (due work
 * of sessions and locks) and hands out its notices. A page is of the position behind those records; once all
 * up to there is durable, so is what the page shows, and its gate is open. `address`: names this worker among
 * several (`ts/engine/workers.ts`), whose keys the page has; 0 where there is one.
 */
export function engineScan(
  engine: Engine,
  clock: Clock,
  afterCall: () => void,
  address: number,
): Scan {
  const writer = new RequestWriter();
  const reader = new ReplyReader();
  return (prefix, cursor, limit, keysOnly) => {
    writer.begin(1);
    const flags = keysOnly ? FLAG_KEYS_ONLY : 0;
    writer.operation(SCAN_ID, OperationCode.Scan, flags, prefix, cursor, limit, address, 0);
    const frame = writer.finish().slice().buffer;
    // The node's own frame is no sign of life of a session.
    engine.input[INPUT_SESSION] = 0;
    const length = engine.execute(frame, 0, clock.now());
    if (length < 0) throw broken(-length);
    const position = engine.outcome[OUTCOME_POSITION] as number;
    // A copy: the engine's buffer is the next call's, and entries are views.
    const reply = engine.reply.slice(0, length).buffer;
    afterCall();

    if (!reader.open(reply)) throw broken(Status.Malformed);
    const entries: ScanEntry[] = [];
    let next: Uint8Array | undefined;
    while (reader.next()) {
      const { status, flags, key, value, revision } = reader;
      if (status !== Status.Ok) throw broken(status);
      if ((flags & FLAG_ENTRY) !== 0) entries.push({ key, value, revision });
      else if ((flags & FLAG_MORE) !== 0) next = value;
    }
    return { entries, cursor: next, position, bytes: length };
  };
}

function broken(status: number): NodeError {
  return new NodeError(
    'INVARIANT_BROKEN',
    `the scan for a watch's snapshot ended with ${statusName(status)}`,
  );
}
