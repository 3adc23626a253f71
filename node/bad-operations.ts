// Tells the operator of operations that were answered with a bad-input status: one line a status and
// interval, from the engine's counters, since the hot path never looks at single operations. So no
// client can fill the log, and the line has no connection in it.

import type { Logger } from 'pino';
import { type Engine, OPERATION_CODE_COUNT } from '../ts/engine/engine.js';
import { STATUS_COUNT, Status, statusName } from '../ts/wire/status.js';

const REPORTED: readonly Status[] = [
  Status.InvalidKey,
  Status.KeyTooLong,
  Status.ValueTooLarge,
  Status.InvalidArgument,
  Status.UnknownOperation,
  Status.ResourceExhausted,
  Status.DiskFull,
  Status.SessionRequired,
  Status.SessionFull,
  Status.TtlOutOfRange,
  Status.Internal,
];

export class BadOperations {
  private readonly reported = new Map<Status, number>();

  constructor(
    private readonly engine: Engine,
    private readonly logger: Logger,
  ) {}

  report(): void {
    for (const status of REPORTED) {
      const total = this.total(status);
      const operations = total - (this.reported.get(status) ?? 0);
      if (operations === 0) continue;
      this.reported.set(status, total);
      const name = statusName(status);
      this.logger.warn(
        { event: 'operations_refused', status: name, operations },
        `${operations} operations answered ${name}`,
      );
    }
  }

  private total(status: Status): number {
    let total = 0;
    for (let code = 0; code < OPERATION_CODE_COUNT; code++) {
      total += this.engine.counters[code * STATUS_COUNT + status] ?? 0;
    }
    return total;
  }
}
