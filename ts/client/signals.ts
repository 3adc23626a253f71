// The signals that calls may be given up by. One listener a signal, however many calls share it: the
// platforms look through all listeners of a signal when one is added or removed.

import type { Call } from './call.js';

export class Signals {
  private readonly groups = new Map<AbortSignal, Group>();

  /** `cancel` settles the call, and so has it removed. */
  constructor(private readonly cancel: (call: Call, signal: AbortSignal) => void) {}

  add(call: Call, signal: AbortSignal): void {
    let group = this.groups.get(signal);
    if (group === undefined) {
      group = new Group(signal, this.cancel);
      this.groups.set(signal, group);
      signal.addEventListener('abort', group);
    }
    group.calls.add(call);
  }

  remove(call: Call, signal: AbortSignal): void {
    const group = this.groups.get(signal);
    if (group === undefined) return;
    group.calls.delete(call);
    if (group.calls.size > 0) return;
    this.groups.delete(signal);
    signal.removeEventListener('abort', group);
  }
}

class Group {
  readonly calls = new Set<Call>();

  constructor(
    private readonly signal: AbortSignal,
    private readonly cancel: (call: Call, signal: AbortSignal) => void,
  ) {}

  handleEvent(): void {
    for (const call of this.calls) this.cancel(call, this.signal);
  }
}
