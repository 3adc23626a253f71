// The ceiling of the node's design: uWebSockets.js that sends each message back, and nothing else.

import { fileURLToPath } from 'node:url';
import { loadUws } from '../../node/transport/uws-binary.js';
import type { Peer, Server, StartContext } from './peer.js';
import { readyLine } from './ready-line.js';

const MAIN = fileURLToPath(new URL('./echo-server.js', import.meta.url));

export const echo: Peer = {
  name: 'bare uWebSockets.js',
  install: 'npm ci, on a platform that uWebSockets.js has a binary for',
  find() {
    const found = loadUws();
    return 'binary' in found ? { program: MAIN, version: found.source } : undefined;
  },
  async start(found, { processes, core }: StartContext): Promise<Server> {
    const args = [found.program];
    const server = processes.start('the echo server', process.execPath, args, {
      core,
      isServer: true,
    });
    const { port } = await readyLine(server);
    return { address: `127.0.0.1:${String(port)}`, process: server };
  },
};
