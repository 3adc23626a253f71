// NATS as Debian has it, with JetStream. Its rows wait for what the node does not have yet: streams
// and pushes.

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

export const nats: Peer = {
  name: 'NATS',
  install: 'apt-get install nats-server',
  find: () => findVersion('nats-server', ['--version'], /v(\d\S*)/),
  async start(found: Found, { processes, folder, core }: StartContext): Promise<Server> {
    const port = await freePort();
    const args = ['--addr', '127.0.0.1', '--port', `${port}`, '--jetstream', '--store_dir', folder];
    const server = processes.start('nats-server', found.program, args, { core, isServer: true });
    server.collect();
    await untilReady(server, async () => {
      await ask(port, '', /^INFO \{/);
    });
    return { address: `127.0.0.1:${port}`, process: server };
  },
};
