// Runs what can happen at once in every order, or in many: a scenario is made anew for each run, and each time
// something else is chosen to happen next. A run that fails names its choices.

import { Random } from '../parity/random.js';

export interface Scenario {
  /** What happens by itself: the choices at present, and all of it until nothing is left. */
  readonly node: { steps(): (() => void)[]; drain(): void };
  /** What is done from outside: each step after the one before it in its list. */
  readonly lists: readonly (readonly (() => void)[])[];
  /** What is wrong when nothing is left to be done. */
  readonly faults: () => string[];
}

/** Runs a scenario; `choose` has which of so many things happens next. */
function runOrder({ node, lists, faults }: Scenario, choose: (of: number) => number): void {
  const order: number[] = [];
  const next = lists.map(() => 0);
  for (;;) {
    const choices = node.steps();
    for (const [at, list] of lists.entries()) {
      const step = list[next[at] as number];
      if (step === undefined) continue;
      choices.push(() => {
        next[at] = (next[at] as number) + 1;
        step();
      });
    }
    if (choices.length === 0) break;
    const chosen = choose(choices.length);
    order.push(chosen);
    (choices[chosen] as () => void)();
  }
  node.drain();
  const found = faults();
  if (found.length > 0) throw new Error(`order ${order.join(' ')}: ${found.join('; ')}`);
}

/** Runs a scenario in every order. Returns how many those were. */
export function everyOrder(make: () => Scenario, runsMax = 20_000): number {
  /** What was chosen, and of how many. */
  let path: { readonly chosen: number; readonly of: number }[] = [];
  for (let runs = 1; ; runs++) {
    if (runs > runsMax) throw new Error(`more than ${runsMax} orders`);
    const trail: typeof path = [];
    runOrder(make(), (of) => {
      const chosen = path[trail.length]?.chosen ?? 0;
      trail.push({ chosen, of });
      return chosen;
    });
    let last = trail.pop();
    while (last !== undefined && last.chosen + 1 >= last.of) last = trail.pop();
    if (last === undefined) return runs;
    path = [...trail, { chosen: last.chosen + 1, of: last.of }];
  }
}

/** Runs a scenario, which has too many orders, in some that a seed gives. Returns how many those were. */
export function someOrders(make: () => Scenario, seed: number, runsMax: number): number {
  const random = new Random(seed);
  let runs = 0;
  for (; runs < runsMax; runs++) runOrder(make(), (of) => random.below(of));
  return runs;
}
