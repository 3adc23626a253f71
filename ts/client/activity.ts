// What is under way: calls, and wholes of several, whose caller has not been told. A drain waits for them.

export class Activity {
  private count = 0;
  private waiters: (() => void)[] = [];

  begin(): void {
    this.count++;
  }

  end(): void {
    this.count--;
    if (this.count === 0 && this.waiters.length > 0) {
      for (const resolve of this.waiters.splice(0)) resolve();
    }
  }

  /** Fulfilled when nothing is under way. */
  idle(): Promise<void> {
    if (this.count === 0) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push(resolve));
  }
}
