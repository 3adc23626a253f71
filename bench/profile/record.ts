// Profiles a node under load: starts it so that its JavaScript has names, loads it, and samples it for
// a while, with perf where it works and by V8's own profiler where it does not.

import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { runLoad } from '../peers/load.js';
import { findProgram, type Pinning } from '../peers/machine.js';
import type { ValueMeasurement } from '../peers/measurements.js';
import { durabilityFlags } from '../peers/node.js';
import type { Process, Processes } from '../peers/processes.js';
import { readyLine } from '../peers/ready-line.js';
import { type Folded, foldCpuProfile } from './cpu-profile.js';
import { foldPerf } from './fold.js';
import { parsePerfScript } from './perf.js';

export interface Profiling {
  readonly processes: Processes;
  readonly generator: string;
  readonly pinning: Pinning;
  readonly folder: string;
  readonly engine: 'native' | 'ts';
  readonly seconds: number;
}

export interface Profile extends Folded {
  readonly tool: 'perf' | 'V8';
  readonly measurement: ValueMeasurement;
  readonly samples: number;
  /** Within the sampled time. */
  readonly frames: number;
  /** Of all threads of the node, within the sampled time. */
  readonly cpuSeconds: number;
}

const MAIN = fileURLToPath(new URL('../../node/main.js', import.meta.url));
const WARM_UP_SECONDS = 1;
/** Of load beyond the sampled time, so that sampling begins and ends within it. */
const MARGIN_SECONDS = 1.5;
const SAMPLES_PER_SECOND = 1_999;
/** Kernel ticks a second that /proc counts in, on every Linux. */
const TICKS_PER_SECOND = 100;

/** Whether perf is there and may sample a process of ours. */
export async function canPerf(processes: Processes, folder: string): Promise<boolean> {
  const perf = findProgram('perf');
  if (perf === undefined) return false;
  const args = ['record', '-e', 'cpu-clock', '-g', '-o', join(folder, 'probe.data'), '--', 'true'];
  const probe = processes.start('perf', perf, args, {});
  probe.collect();
  await probe.ended;
  return probe.child.exitCode === 0;
}

export async function profile(
  measurement: ValueMeasurement,
  usesPerf: boolean,
  profiling: Profiling,
): Promise<Profile> {
  const { processes, folder, engine, pinning, seconds, generator } = profiling;
  const flags = usesPerf
    ? ['--perf-basic-prof', '--interpreted-frames-native-stack']
    : ['--cpu-prof', '--cpu-prof-dir', join(folder, `v8-${measurement.id}`)];
  const shape = ['--engine', engine, '--workers', '1'];
  const args = [...flags, MAIN, 'serve', '--json', '--port', '0', ...shape];
  args.push(...durabilityFlags('none', folder));
  const options = { core: pinning.server, isServer: true };
  const node = processes.start('the node', process.execPath, args, options);
  try {
    const { port } = await readyLine(node);
    const address = `127.0.0.1:${String(port)}`;
    const run = { target: 'rondo', address, measurement, seed: 1 } as const;
    const fill = { ...run, seconds: 0.1, warmUpSeconds: 0, prefill: true };
    await runLoad(processes, generator, pinning.generator, fill);
    const loading = runLoad(processes, generator, pinning.generator, {
      ...run,
      seconds: seconds + 2 * MARGIN_SECONDS,
      warmUpSeconds: WARM_UP_SECONDS,
    });
    const watching = watch(node, address, usesPerf, measurement, profiling);
    const [seen] = await Promise.all([watching, loading]);
    await processes.stop(node);
    const folded = usesPerf
      ? foldPerf(parsePerfScript(await script(seen.file, profiling)), node.pid)
      : foldCpuProfile(v8Profile(join(folder, `v8-${measurement.id}`)));
    const samples = [...folded.groups.values()].reduce((sum, count) => sum + count, 0);
    if (samples === 0) throw new Error('the profile has no samples');
    const { frames, cpuSeconds } = seen;
    if (frames <= 0) throw new Error('the node counted no frames while it was profiled');
    return { ...folded, tool: usesPerf ? 'perf' : 'V8', measurement, samples, frames, cpuSeconds };
  } finally {
    await processes.stop(node);
    // V8 writes its map of names there, whatever the folder for temporary files is.
    rmSync(`/tmp/perf-${node.pid}.map`, { force: true });
  }
}

async function watch(
  node: Process,
  address: string,
  usesPerf: boolean,
  measurement: ValueMeasurement,
  { processes, folder, seconds }: Profiling,
): Promise<{ frames: number; cpuSeconds: number; file: string }> {
  await sleep((WARM_UP_SECONDS + MARGIN_SECONDS) * 1000);
  const file = join(folder, `${measurement.id}.data`);
  const framesBefore = await framesOf(address);
  const cpuBefore = cpuSecondsOf(node.pid);
  if (usesPerf) {
    const args = ['record', '-e', 'cpu-clock', '-F', `${SAMPLES_PER_SECOND}`, '-g', '-o', file];
    const target = ['-p', `${node.pid}`, '--', 'sleep', `${seconds}`];
    const perf = processes.start('perf', 'perf', [...args, ...target], {});
    perf.collect();
    await perf.ended;
    if (perf.child.exitCode !== 0) throw new Error(perf.obituary);
  } else {
    await sleep(seconds * 1000);
  }
  const cpuSeconds = cpuSecondsOf(node.pid) - cpuBefore;
  return { frames: (await framesOf(address)) - framesBefore, cpuSeconds, file };
}

async function script(file: string, { processes }: Profiling): Promise<string> {
  const args = ['script', '-i', file, '-F', 'tid,ip,sym,symoff,dso'];
  const perf = processes.start('perf script', 'perf', args, {});
  perf.collect();
  await perf.ended;
  if (perf.child.exitCode !== 0) throw new Error(perf.obituary);
  return perf.output;
}

function v8Profile(folder: string): string {
  const [name] = readdirSync(folder).filter((it) => it.endsWith('.cpuprofile'));
  if (name === undefined) throw new Error('the node wrote no CPU profile');
  return readFileSync(join(folder, name), 'utf8');
}

async function framesOf(address: string): Promise<number> {
  const response = await fetch(`http://${address}/metrics`);
  const value = /^rondo_frames_total (\S+)$/m.exec(await response.text())?.[1];
  if (value === undefined) throw new Error('the node does not tell how many frames it has handled');
  return Number(value);
}

/** User and system time of all threads of a process. */
function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name, in brackets, may hold blanks; times are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
