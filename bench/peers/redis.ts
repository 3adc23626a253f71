// Redis as Debian has it, without snapshots: in memory only, or with an append-only file that is synced
// before a write is answered.

import { freePort } from './machine.js';
import {
  ask,
  type Found,
  findVersion,
  type Peer,
  type Server,
  type StartContext,
  untilReady,
} from './peer.js';

/** What `appendfsync always` is compared with must not wait for a rewrite of the file. */
const ALWAYS = {
  appendonly: 'yes',
  appendfsync: 'always',
  'auto-aof-rewrite-percentage': '0',
};

export const redis = redisWith({ appendonly: 'no' });
export const redisAlways = redisWith(ALWAYS);

function redisWith(durability: Readonly<Record<string, string>>): Peer {
  return {
    name: 'Redis',
    install: 'apt-get install redis-server',
    find: () => findVersion('redis-server', ['--version'], /v=(\S+)/),
    async start(found: Found, { processes, folder, core }: StartContext): Promise<Server> {
      const port = await freePort();
      const settings: Record<string, string> = {
        port: `${port}`,
        bind: '127.0.0.1',
        dir: folder,
        daemonize: 'no',
        save: '',
        // As many subscribers as the pushes have, and some to spare.
        maxclients: '16000',
        ...durability,
        loglevel: 'warning',
      };
      const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
      const server = processes.start('redis-server', found.program, args, { core, isServer: true });
      server.collect();
      await untilReady(server, async () => {
        await ask(port, 'PING\r\n', /^\+PONG\r\n/);
      });
      return {
        address: `127.0.0.1:${port}`,
        process: server,
        async details() {
          const info = await ask(port, 'INFO memory\r\n', /used_memory:\d+\r\n/);
          return { usedMemoryBytes: Number(/used_memory:(\d+)/.exec(info)?.[1]) };
        },
      };
    },
  };
}
