// Shows how far the recovery is, and the redistribution before it, once that has taken a second: a bar on a
// terminal, else a log line now and then.

import { SingleBar } from 'cli-progress';
import type { Logger } from 'pino';
import { formatSize } from '../config/size.js';
import type { RecoveryProgress } from '../log/open-log.js';

/** Milliseconds before anything is shown. */
const PATIENCE_MS = 1_000;
/** Milliseconds between two log lines. */
const LINE_INTERVAL_MS = 5_000;

export class RecoveryDisplay {
  private readonly startedAt = performance.now();
  private bar: SingleBar | undefined;
  /** Of the bar. */
  private label = '';
  private lineAt = this.startedAt + PATIENCE_MS;

  constructor(
    private readonly logger: Logger,
    private readonly isTerminal: boolean,
  ) {}

  show({ phase, bytesDone, bytesTotal }: RecoveryProgress): void {
    const label = phase === 'redistribution' ? 'redistributing' : 'recovering';
    const now = performance.now();
    if (now < this.startedAt + PATIENCE_MS) return;
    if (this.isTerminal) {
      if (label !== this.label) this.end();
      this.bar ??= this.start(label, bytesTotal);
      this.bar.setTotal(bytesTotal);
      this.bar.update(bytesDone, { done: formatSize(bytesDone), all: formatSize(bytesTotal) });
    } else if (now >= this.lineAt) {
      this.lineAt = now + LINE_INTERVAL_MS;
      const percent = Math.floor((100 * bytesDone) / Math.max(1, bytesTotal));
      this.logger.info({ event: label, bytesDone, bytesTotal }, `${label}: ${percent} %`);
    }
  }

  end(): void {
    this.bar?.stop();
    this.bar = undefined;
  }

  private start(label: string, bytesTotal: number): SingleBar {
    this.label = label;
    const bar = new SingleBar({
      format: `  ${label} {bar} {percentage} %  {done} of {all}, {eta} s left`,
      stream: process.stderr,
      clearOnComplete: true,
      hideCursor: true,
    });
    bar.start(bytesTotal, 0, { done: '', all: '' });
    return bar;
  }
}
