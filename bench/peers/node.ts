// The node itself, with one of its engines and one promise about writes: `rondo serve` as a user would
// start it.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VERSION } from '../../node/version.js';
import type { Peer, Server, StartContext } from './peer.js';
import { readyLine } from './ready-line.js';

const MAIN = fileURLToPath(new URL('../../node/main.js', import.meta.url));

/** Flags that say what a positive answer to a write means; what is kept is in `folder`. */
export function durabilityFlags(durability: 'sync' | 'none', folder: string): string[] {
  const keeping = durability === 'none' ? [] : ['--data-dir', join(folder, 'data')];
  return ['--durability', durability, ...keeping];
}

/** Rows of peers are about one worker, whatever the machine has. */
export function rondo(engine: 'native' | 'ts', durability: 'sync' | 'none', workers = 1): Peer {
  const name = engine === 'native' ? 'Rondo' : 'Rondo, TypeScript engine';
  return {
    name,
    find: () => ({ program: MAIN, version: VERSION }),
    async start(_found, { processes, core, folder }: StartContext): Promise<Server> {
      const flags = durabilityFlags(durability, folder);
      const shape = ['--engine', engine, '--workers', `${workers}`];
      const args = [MAIN, 'serve', '--json', '--port', '0', ...shape, ...flags];
      const options = { core, isServer: true };
      const server = processes.start(`the node (${engine})`, process.execPath, args, options);
      const ready = await readyLine(server);
      if (ready.engine !== engine) throw new Error(`the node runs engine ${String(ready.engine)}`);
      if (ready.transport !== 'uws') {
        process.stderr.write(`the node's transport is ${String(ready.transport)}, not uws\n`);
      }
      return { address: `127.0.0.1:${String(ready.port)}`, process: server };
    },
  };
}
