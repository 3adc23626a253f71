// Reads a profile of `valgrind --tool=callgrind`: instructions that were executed in the native engine,
// by part. Counts do not depend on what else the machine does.

import { GROUPS, type Group, groupOfSource } from './groups.js';

const ADDON = /rondo-core\.[^/]*\.node$/;

/** Instructions by group; those of the addon whose source is not the engine's own go to `execute`. */
export function countInstructions(text: string): Map<Group, number> {
  const counts = new Map<Group, number>(GROUPS.map((group) => [group, 0]));
  const names = new Map<string, string>();
  /** Names are given in full once, as `(id) name`, and as `(id)` from then on. */
  const nameOf = (kind: string, value: string): string => {
    const found = /^\((\d+)\)(?: (.*))?$/.exec(value);
    if (!found) return value;
    const key = `${kind}${found[1]}`;
    if (found[2] !== undefined) names.set(key, found[2]);
    return names.get(key) ?? '';
  };
  let isAddon = false;
  let functionFile = '';
  let file = '';
  let functionName = '';
  let isCallCost = false;
  for (const line of text.split('\n')) {
    const field = /^(c?)(ob|fl|fi|fe|fn)=(.*)$/.exec(line);
    if (field) {
      const [, called = '', kind = '', value = ''] = field;
      const name = nameOf(kind === 'ob' || kind === 'fn' ? kind : 'file', value);
      if (called !== '') continue;
      if (kind === 'ob') isAddon = ADDON.test(name);
      else if (kind !== 'fn') file = name;
      if (kind === 'fl') functionFile = name;
      if (kind === 'fn') {
        functionName = name;
        file = functionFile;
      }
      continue;
    }
    if (line.startsWith('calls=')) {
      isCallCost = true;
      continue;
    }
    const cost = /^[+\-*\d]\S* (\d+)$/.exec(line)?.[1];
    if (cost === undefined) continue;
    // The line after `calls=` has what the callee cost, which is counted where it was spent.
    if (isCallCost) {
      isCallCost = false;
      continue;
    }
    if (!isAddon) continue;
    const group =
      groupOfSource(file) ??
      groupOfSource(functionFile) ??
      (/napi/.test(functionName)
        ? 'crossing'
        : /verif|flatbuffers/i.test(functionName)
          ? 'decode'
          : 'execute');
    counts.set(group, (counts.get(group) ?? 0) + Number(cost));
  }
  return counts;
}
