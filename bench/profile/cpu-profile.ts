// V8's own CPU profile, where there is no perf: JavaScript by function, native code as one lump.

import { z } from 'zod';
import { FOLD_SEPARATOR } from './flame.js';
import { type Group, groupOfScript } from './groups.js';

const CpuProfile = z.object({
  nodes: z.array(
    z.object({
      id: z.number(),
      callFrame: z.object({ functionName: z.string(), url: z.string(), lineNumber: z.number() }),
      children: z.array(z.number()).optional(),
    }),
  ),
  samples: z.array(z.number()),
});

export interface Folded {
  readonly stacks: Map<string, number>;
  readonly groups: Map<Group, number>;
}

export function foldCpuProfile(text: string): Folded {
  const { nodes, samples } = CpuProfile.parse(JSON.parse(text));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map<number, number>();
  for (const { id, children = [] } of nodes) for (const child of children) parents.set(child, id);
  const stacks = new Map<string, number>();
  const groups = new Map<Group, number>();
  for (const sample of samples) {
    if (byId.get(sample)?.callFrame.functionName === '(idle)') continue;
    const names: string[] = [];
    for (let id: number | undefined = sample; id !== undefined; id = parents.get(id)) {
      const frame = byId.get(id)?.callFrame;
      if (frame === undefined || frame.functionName === '(root)') continue;
      const file = frame.url.replace(/^.*\/dist\//, '');
      const place = file === '' ? '' : ` ${file}:${frame.lineNumber + 1}`;
      names.push(file === '' ? frame.functionName : `JS:${frame.functionName}${place}`);
    }
    const folded = names.reverse().join(FOLD_SEPARATOR);
    stacks.set(folded, (stacks.get(folded) ?? 0) + 1);
    const group = groupOfLeaf(names.at(-1) ?? '');
    groups.set(group, (groups.get(group) ?? 0) + 1);
  }
  return { stacks, groups };
}

function groupOfLeaf(name: string): Group {
  if (name === '(garbage collector)') return 'garbage';
  if (name === '(program)') return 'other';
  return name.startsWith('JS:') ? groupOfScript(name) : 'crossing';
}
