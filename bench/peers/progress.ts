// What runs now and how long it may take still, on standard error.

export class Progress {
  private readonly isTerminal = process.stderr.isTTY === true;
  private readonly began = performance.now();
  private doneSeconds = 0;
  private told = '';

  /** `plannedSeconds`: of all steps. */
  constructor(private readonly plannedSeconds: number) {}

  /** `what` goes on a line of its own where nobody watches, so `detail` may change often. */
  show(what: string, detail = ''): void {
    const left = this.left();
    if (this.isTerminal) {
      const text = `${what}${detail === '' ? '' : `, ${detail}`}; about ${left} left`;
      process.stderr.write(`\r\x1b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
    } else if (what !== this.told) {
      process.stderr.write(`${what}; about ${left} left\n`);
    }
    this.told = what;
  }

  done(seconds: number): void {
    this.doneSeconds += seconds;
  }

  end(): void {
    if (this.isTerminal) process.stderr.write('\r\x1b[K');
  }

  /** The plan, stretched by how much longer than planned it took so far. */
  private left(): string {
    const elapsed = (performance.now() - this.began) / 1000;
    const stretch = this.doneSeconds > 3 ? elapsed / this.doneSeconds : 1;
    const seconds = Math.max(0, (this.plannedSeconds - this.doneSeconds) * stretch);
    return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`;
  }
}
