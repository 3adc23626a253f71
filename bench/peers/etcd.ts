// etcd as Debian has it, a cluster of one, which syncs its log before it answers a write.

import { join } from 'node:path';
import { freePort } from './machine.js';
import {
  type Found,
  findVersion,
  type Peer,
  type Server,
  type StartContext,
  untilReady,
} from './peer.js';

export const etcd: Peer = {
  name: 'etcd',
  install: 'apt-get install etcd-server',
  find: () => findVersion('etcd', ['--version'], /etcd Version: (\S+)/),
  async start(found: Found, { processes, folder, core }: StartContext): Promise<Server> {
    const [port, peerPort] = [await freePort(), await freePort()];
    const url = `http://127.0.0.1:${port}`;
    const peerUrl = `http://127.0.0.1:${peerPort}`;
    const settings: Record<string, string> = {
      name: 'bench',
      'data-dir': join(folder, 'etcd'),
      'listen-client-urls': url,
      'advertise-client-urls': url,
      'listen-peer-urls': peerUrl,
      'initial-advertise-peer-urls': peerUrl,
      'initial-cluster': `bench=${peerUrl}`,
    };
    const args = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
    const server = processes.start('etcd', found.program, args, { core, isServer: true });
    server.collect();
    await untilReady(server, async () => {
      const response = await fetch(`${url}/health`);
      const health = await response.text();
      if (!/"health":\s*"?true/.test(health)) throw new Error(`health is ${health}`);
    });
    return { address: `127.0.0.1:${port}`, process: server };
  },
};
