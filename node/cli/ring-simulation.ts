// What happens to a ring when members join or leave, over many sets of names.

import { plan, Ring, type RingLibrary } from '../../ts/engine/ring.js';
import { tableLines } from './output-format.js';

export interface Simulation {
  readonly members: number;
  /** Members that join; below 0: that leave. */
  readonly change: number;
  readonly partitions: number;
  readonly seeds: number;
  /** Mean part of the partitions that moved. */
  readonly moved: number;
  /** The part that had to: what the new ones get, or the old ones had, were all spread evenly. */
  readonly needed: number;
  /** The highest load of a member over the even share, after the change: mean and worst. */
  readonly peakMean: number;
  readonly peakMax: number;
}

export interface SimulationOptions
  extends Pick<Simulation, 'members' | 'change' | 'partitions' | 'seeds'> {
  readonly library: RingLibrary;
}

export function simulate(options: SimulationOptions): Simulation {
  const { members, change, partitions, seeds, library } = options;
  const after = members + change;
  let moves = 0;
  let peaks = 0;
  let peakMax = 0;
  for (let seed = 0; seed < seeds; seed++) {
    const ringOf = (count: number) => {
      const names = Array.from({ length: count }, (_, index) => ({ name: `${seed}/${index}` }));
      return new Ring(names, partitions, library);
    };
    const next = ringOf(after);
    moves += plan(ringOf(members), next).length;
    const peak = Math.max(...next.loads()) / (partitions / after);
    peaks += peak;
    peakMax = Math.max(peakMax, peak);
  }
  return {
    members,
    change,
    partitions,
    seeds,
    moved: moves / seeds / partitions,
    needed: Math.abs(change) / Math.max(members, after),
    peakMean: peaks / seeds,
    peakMax,
  };
}

export function simulationLines(found: readonly Simulation[]): string[] {
  const headings = ['change', 'partitions', 'moved', 'needed', 'ratio', 'peak', 'worst peak'];
  const rows = found.map(({ members, change, partitions, moved, needed, peakMean, peakMax }) => [
    `${members} -> ${members + change} members`,
    String(partitions),
    percent(moved),
    percent(needed),
    (moved / needed).toFixed(2),
    peakMean.toFixed(2),
    peakMax.toFixed(2),
  ]);
  return [
    ...tableLines(headings, rows, headings.slice(1)),
    '',
    `Means over ${found[0]?.seeds ?? 0} sets of names. Peak: the most loaded member over the even share.`,
  ];
}

function percent(part: number): string {
  return `${(100 * part).toFixed(1)} %`;
}
