// From perf's samples to what is drawn and what is counted.

import type { Folded } from './cpu-profile.js';
import { FOLD_SEPARATOR } from './flame.js';
import { type Group, groupOf } from './groups.js';
import { expandStack, inlinedFrames } from './inlined.js';
import type { PerfSample, StackFrame } from './perf.js';

const ADDON = /rondo-core\.[^/]*\.node$/;

/** `mainThread`: the thread that serves; what others do counts as garbage collection or other. */
export function foldPerf(samples: readonly PerfSample[], mainThread: number): Folded {
  const library = samples
    .flatMap(({ stack }) => stack)
    .find((it) => ADDON.test(it.library))?.library;
  const addresses = new Set<number>();
  for (const { stack } of samples) {
    for (const frame of stack) if (frame.library === library) addresses.add(frame.address);
  }
  const inlined =
    library === undefined ? new Map() : inlinedFrames(library, [...addresses], 'offset');
  const stacks = new Map<string, number>();
  const groups = new Map<Group, number>();
  for (const { thread, stack } of samples) {
    const whole = library === undefined ? stack : expandStack(stack, library, inlined);
    const isMain = thread === mainThread;
    const names = whole.map(nameOf).reverse();
    const folded = [isMain ? 'main thread' : 'helper threads', ...names].join(FOLD_SEPARATOR);
    stacks.set(folded, (stacks.get(folded) ?? 0) + 1);
    const found = groupOf(whole);
    const group = isMain || found === 'garbage' ? found : 'other';
    groups.set(group, (groups.get(group) ?? 0) + 1);
  }
  return { stacks, groups };
}

function nameOf({ symbol, library, source }: StackFrame): string {
  const module = /core-native\/src\/(?:generated\/)?(\w+)\.rs$/.exec(source ?? '')?.[1];
  if (module !== undefined) return `rondo ${module}::${symbol}`;
  if (library.startsWith('[kernel')) return `${symbol} [k]`;
  if (symbol !== '[unknown]') return symbol;
  return `? ${library.replace(/^.*\//, '')}`;
}
