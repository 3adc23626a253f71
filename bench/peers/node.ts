// The node itself, with one of its engines: `rondo serve` as a user would start it.

import { fileURLToPath } from 'node:url';
import { VERSION } from '../../node/version.js';
import type { Peer, Server, StartContext } from './peer.js';
import { readyLine } from './ready-line.js';

const MAIN = fileURLToPath(new URL('../../node/main.js', import.meta.url));

export function rondo(engine: 'native' | 'ts'): Peer {
  const name = engine === 'native' ? 'Rondo' : 'Rondo, TypeScript engine';
  return {
    name,
    find: () => ({ program: MAIN, version: VERSION }),
    async start(_found, { processes, core }: StartContext): Promise<Server> {
      const args = [MAIN, 'serve', '--json', '--port', '0', '--engine', engine];
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
