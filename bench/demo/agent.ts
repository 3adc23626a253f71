// One agent of the demo, a process of its own: claims files, counts their words, merges the counts
// into what all agents share, until every file is done. Started by `main.ts` with the node's URL, its
// number, the number of agents and the folder of the files.

import { connect } from '../../ts/client/index.js';
import { countFile } from './corpus.js';
import { type Bucket, claim, FILES, filesDone, finish, merge } from './shared.js';

/** What an agent tells at its end. */
export interface AgentReport {
  readonly files: number;
  readonly words: number;
  readonly updates: number;
  readonly rounds: number;
}

/** Milliseconds between two looks at files that others have claimed. */
const LOOK_INTERVAL_MS = 50;

const [url = '', agent = '0', agents = '1', modules = ''] = process.argv.slice(2);

// The parent is gone: nobody waits for this work.
process.once('disconnect', () => process.exit(1));

const report = await work();
process.removeAllListeners('disconnect');
process.send?.(report, () => process.disconnect());

async function work(): Promise<AgentReport> {
  await using rondo = connect({ url, timeoutMs: 30_000 });
  const buckets = rondo.kv.as<Bucket>();
  const files: [string, number][] = [];
  for await (const { key, value } of rondo.kv.scan<number>(FILES)) {
    files.push([key.slice(FILES.length), value]);
  }
  // Each begins elsewhere, so that claims seldom meet before the end.
  const offset = Math.floor((files.length * Number(agent)) / Number(agents));
  const todo = new Map([...files.slice(offset), ...files.slice(0, offset)]);
  const report = { files: 0, words: 0, updates: 0, rounds: 0 };

  for (;;) {
    for (const [path, file] of todo) {
      if (!(await claim(rondo, path, Number(agent)))) continue;
      todo.delete(path);
      const counts = await countFile(modules, path);
      const words = [...counts.values()].reduce((sum, count) => sum + count, 0);
      const { updates, rounds } = await merge(buckets, file, counts);
      await finish(rondo, path, file, words);
      report.files++;
      report.words += words;
      report.updates += updates;
      report.rounds += rounds;
    }
    if ((await filesDone(rondo)) >= files.length) return report;
    await new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL_MS));
  }
}
