// The page with the table: what a frame costs, part by part.

import type { Machine } from '../peers/machine.js';
import { GROUPS, type Group, MEANINGS } from './groups.js';
import type { Profile } from './record.js';

export interface Page {
  readonly machine: Machine;
  readonly pinning: string;
  readonly engine: string;
  readonly seconds: number;
  readonly profiles: readonly Profile[];
  /** Instructions a frame by group, for each profile; undefined without valgrind. */
  readonly instructions: readonly (Map<Group, number> | undefined)[];
  readonly date: string;
}

/** Nanoseconds a frame: the node's CPU time by the share of samples. */
export function nanosOf({ groups, samples, cpuSeconds, frames }: Profile, group: Group): number {
  return (((groups.get(group) ?? 0) / samples) * cpuSeconds * 1e9) / frames;
}

export function titleOf({ measurement }: Profile): string {
  const { operation, batch, outstanding, connections } = measurement;
  return `${operation}, ${batch} a frame (${outstanding} outstanding, ${connections} connections)`;
}

export function pageOf(page: Page): string {
  const { machine, profiles, instructions } = page;
  const head = [
    'part',
    ...profiles.map((it) => `${it.measurement.operation} x${it.measurement.batch}`),
  ];
  const rows = GROUPS.map((group) => [
    group,
    ...profiles.map((profile) => {
      const share = ((profile.groups.get(group) ?? 0) / profile.samples) * 100;
      return `${nanosOf(profile, group).toFixed(0)} ns (${share.toFixed(1)} %)`;
    }),
  ]);
  const total = profiles.map(({ cpuSeconds, frames }) => (cpuSeconds * 1e9) / frames);
  const lines = [
    '# Where the time of a frame goes',
    '',
    `Written by \`npm run bench:profile\`. Engine ${page.engine}; ${machine.cpu}, ${machine.cores} cores; ` +
      `${machine.system}; Node ${machine.node}; ${page.date.slice(0, 10)}; ${page.pinning}.`,
    '',
    ...table([head, ...rows, ['all', ...total.map((nanos) => `${nanos.toFixed(0)} ns`)]]),
    '',
    ...GROUPS.map((group) => `- ${group}: ${MEANINGS[group]}`),
    '',
    profiles[0]?.tool === 'perf'
      ? "Attribution: CPU time of the node's threads while it was sampled, divided by the frames that " +
        'it counted in that time, split by the share of samples of each part. A sample counts for the ' +
        'nearest function, from the innermost outwards, that belongs to a part; functions that were ' +
        "inlined into one another are told apart by the addon's line tables. uWebSockets.js has no " +
        'frame pointers, so that a few of its samples end in `other`. Sampling itself costs some per cent.'
      : "This is V8's profile: perf is not installed, may not sample, or was not wanted. V8 sees " +
        'JavaScript only: what a function calls in native code (the addon, the socket) counts for that ' +
        'function, and uWebSockets.js outside of calls is `other`. Its shares are of the whole life of ' +
        'the node, start and filling included. Install linux-perf for the whole.',
    '',
    ...profiles.map(
      (it) =>
        `- ${titleOf(it)}: ${it.samples} samples` +
        `${it.tool === 'perf' ? '' : ' from start to end'}, ${it.frames} frames in ${page.seconds} s, ` +
        `flame graph in \`${flameFile(it)}\``,
    ),
    '',
    ...instructionLines(profiles, instructions),
  ];
  return `${lines.join('\n').trimEnd()}\n`;
}

export function flameFile({ measurement }: Profile): string {
  return `profile-${measurement.operation}-${measurement.batch}.svg`;
}

function instructionLines(
  profiles: readonly Profile[],
  instructions: readonly (Map<Group, number> | undefined)[],
): string[] {
  if (instructions.every((it) => it === undefined)) {
    return [
      'Instructions are not counted: not asked for, or valgrind is not installed (apt-get install valgrind).',
    ];
  }
  const parts = GROUPS.filter((group) => instructions.some((it) => (it?.get(group) ?? 0) > 0));
  const head = profiles.map((it) => `${it.measurement.operation} x${it.measurement.batch}`);
  const rows = parts.map((group) => [
    group,
    ...instructions.map((it) => (it?.get(group) ?? 0).toFixed(0)),
  ]);
  const total = instructions.map((it) =>
    [...(it?.values() ?? [])].reduce((sum, count) => sum + count, 0).toFixed(0),
  );
  return [
    'Instructions a frame within the addon, by `valgrind --tool=callgrind` (1,000 keys, libc and Node ' +
      'not counted). They are the same on a busy machine:',
    '',
    ...table([['part', ...head], ...rows, ['all', ...total]]),
  ];
}

function table(rows: readonly (readonly string[])[]): string[] {
  const [head = []] = rows;
  const widths = head.map((_, at) => Math.max(...rows.map((row) => (row[at] ?? '').length)));
  const line = (row: readonly string[]): string =>
    `| ${widths.map((width, at) => (at === 0 ? (row[at] ?? '').padEnd(width) : (row[at] ?? '').padStart(width))).join(' | ')} |`;
  const rule = widths.map((width, at) =>
    at === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [line(head), line(rule), ...rows.slice(1).map(line)];
}
