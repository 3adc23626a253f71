// Instructions a frame in the native engine, by valgrind: two runs of different length are counted, so
// that what start and filling cost falls out.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram } from '../peers/machine.js';
import type { OperationName } from '../peers/measurements.js';
import type { Processes } from '../peers/processes.js';
import { groupInstructions, parseCallgrind } from './callgrind.js';
import type { Group } from './groups.js';
import { inlinedFrames } from './inlined.js';

const MAIN = fileURLToPath(new URL('./engine-frames.js', import.meta.url));
/** Few: under valgrind all is fifty times as slow, and counts do not need many. */
const KEYS = 1_000;
const FRAMES = [100, 300] as const;

/** Undefined where valgrind is not installed. */
export async function countFrames(
  processes: Processes,
  folder: string,
  operation: OperationName,
  batch: number,
): Promise<Map<Group, number> | undefined> {
  const valgrind = findProgram('valgrind');
  if (valgrind === undefined) return undefined;
  const counts: Map<Group, number>[] = [];
  for (const frames of FRAMES) {
    const file = join(folder, `callgrind-${operation}-${batch}-${frames}`);
    const tool = ['--tool=callgrind', '--dump-instr=yes', '--compress-pos=no'];
    const args = [...tool, `--callgrind-out-file=${file}`, process.execPath];
    // Without compiled JavaScript, which valgrind would have to be told of.
    const node = ['--jitless', '--single-threaded', MAIN];
    const what = [`${frames}`, `${batch}`, operation, `${KEYS}`];
    const run = processes.start('valgrind', valgrind, [...args, ...node, ...what], {});
    run.collect();
    await run.ended;
    if (run.child.exitCode !== 0) throw new Error(run.obituary);
    const counted = parseCallgrind(readFileSync(file, 'utf8'));
    const { library, byAddress } = counted;
    if (library === undefined) throw new Error('valgrind counted nothing in the addon');
    counts.push(
      groupInstructions(counted, inlinedFrames(library, [...byAddress.keys()], 'virtual')),
    );
  }
  const [few, many] = counts;
  const more = FRAMES[1] - FRAMES[0];
  return new Map(
    [...(many ?? [])].map(([group, count]) => [group, (count - (few?.get(group) ?? 0)) / more]),
  );
}
