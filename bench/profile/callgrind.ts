// Reads a profile of `valgrind --tool=callgrind --dump-instr=yes --compress-pos=no`: instructions that
// were executed in the native engine, by part. Counts do not depend on what else the machine does.

import { GROUPS, type Group, groupOfSource } from './groups.js';
import type { InlinedFrame } from './inlined.js';

const ADDON = /rondo-core\.[^/]*\.node$/;

/** Executed instructions of the addon by virtual address, and the function that each is in. */
export interface Counted {
  readonly library: string | undefined;
  readonly byAddress: ReadonlyMap<number, { count: number; readonly functionName: string }>;
}

export function parseCallgrind(text: string): Counted {
  const byAddress = new Map<number, { count: number; readonly functionName: string }>();
  const names = new Map<string, string>();
  /** Names are given in full once, as `(id) name`, and as `(id)` from then on. */
  const nameOf = (kind: string, value: string): string => {
    const found = /^\((\d+)\)(?: (.*))?$/.exec(value);
    if (!found) return value;
    const key = `${kind}${found[1]}`;
    if (found[2] !== undefined) names.set(key, found[2]);
    return names.get(key) ?? '';
  };
  let library: string | undefined;
  let isAddon = false;
  let functionName = '';
  let isCallCost = false;
  for (const line of text.split('\n')) {
    const field = /^(c?)(ob|fn)=(.*)$/.exec(line);
    if (field) {
      const [, called, kind = '', value = ''] = field;
      const name = nameOf(kind, value);
      if (called !== '') continue;
      if (kind === 'fn') functionName = name;
      else isAddon = ADDON.test(name);
      if (isAddon && kind === 'ob') library = name;
      continue;
    }
    if (line.startsWith('calls=')) {
      isCallCost = true;
      continue;
    }
    const cost = /^(0x[0-9a-f]+) \S+ (\d+)$/.exec(line);
    if (!cost) continue;
    // The line after `calls=` has what the callee cost, which is counted where it was spent.
    if (isCallCost) {
      isCallCost = false;
      continue;
    }
    if (!isAddon) continue;
    const address = Number(cost[1]);
    const counted = byAddress.get(address);
    if (counted === undefined) byAddress.set(address, { count: Number(cost[2]), functionName });
    else counted.count += Number(cost[2]);
  }
  return { library, byAddress };
}

/** By group: of the innermost function of the engine's own that an instruction was inlined into. */
export function groupInstructions(
  { byAddress }: Counted,
  inlined: ReadonlyMap<number, readonly InlinedFrame[]>,
): Map<Group, number> {
  const counts = new Map<Group, number>(GROUPS.map((group) => [group, 0]));
  for (const [address, { count, functionName }] of byAddress) {
    const sources = inlined.get(address)?.map(({ source }) => groupOfSource(source)) ?? [];
    const group = sources.find((it) => it !== undefined) ?? groupOfFunction(functionName);
    counts.set(group, (counts.get(group) ?? 0) + count);
  }
  return counts;
}

/** Of a function that is all of a library's, and was not inlined. */
function groupOfFunction(name: string): Group {
  if (/napi|_c_callback/.test(name)) return 'crossing';
  return /verif|flatbuffers/i.test(name) ? 'decode' : 'execute';
}
