// Redis as Debian has it, in memory only: no snapshots, no append-only file.

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

export const redis: Peer = {
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
      appendonly: 'no',
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
