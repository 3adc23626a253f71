// A bar on a terminal for what takes longer than a second; nothing elsewhere.

import { SingleBar } from 'cli-progress';
import { formatSize } from '../config/size.js';
import type { Progress } from '../log/local/verify.js';

/** Milliseconds before anything is shown. */
const PATIENCE_MS = 1_000;

export class ProgressBar {
  private readonly startedAt = performance.now();
  private bar: SingleBar | undefined;

  constructor(
    private readonly label: string,
    private readonly isShown = process.stderr.isTTY === true,
  ) {}

  readonly show = ({ bytesDone, bytesTotal }: Progress): void => {
    if (!this.isShown || performance.now() < this.startedAt + PATIENCE_MS) return;
    this.bar ??= this.start(bytesTotal);
    this.bar.setTotal(bytesTotal);
    this.bar.update(bytesDone, { done: formatSize(bytesDone), all: formatSize(bytesTotal) });
  };

  end(): void {
    this.bar?.stop();
    this.bar = undefined;
  }

  private start(bytesTotal: number): SingleBar {
    const bar = new SingleBar({
      format: `  ${this.label} {bar} {percentage} %  {done} of {all}, {eta} s left`,
      stream: process.stderr,
      clearOnComplete: true,
      hideCursor: true,
    });
    bar.start(bytesTotal, 0, { done: '', all: '' });
    return bar;
  }
}

/** A bar for each phase of a longer work. */
export class PhaseBars {
  private label: string | undefined;
  private bar: ProgressBar | undefined;

  readonly show = (label: string, progress: Progress): void => {
    if (label !== this.label) this.end();
    this.label = label;
    this.bar ??= new ProgressBar(label);
    this.bar.show(progress);
  };

  end(): void {
    this.bar?.end();
    this.bar = undefined;
  }
}
