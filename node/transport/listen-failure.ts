// Why listening failed, as an error that says what to do.

import { type AddressInfo, createServer } from 'node:net';
import { NodeError } from '../errors.js';

/** From the error of a `node:net` server. */
export function listenError(host: string, port: number, cause: unknown): NodeError {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  const at = `${host}:${port}`;
  switch (code) {
    case 'EADDRINUSE':
      return new NodeError(
        'PORT_IN_USE',
        `${at} is in use by another process: stop that one, choose another --port, or 0 for a free one`,
        { cause },
      );
    case 'EACCES':
      return new NodeError(
        'LISTEN_FAILED',
        `no permission to listen at ${at}: choose a --port above 1023`,
        { cause },
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new NodeError(
        'LISTEN_FAILED',
        `${host} is not an address of this machine: choose another --host`,
        { cause },
      );
    default:
      return new NodeError('LISTEN_FAILED', `could not listen at ${at}`, { cause });
  }
}

/**
 * Listens and stops at once, to learn what stands in the way: undefined where nothing does. Another
 * process may take the port right after, so this explains a failure and does not replace listening.
 */
export function probeListen(host: string, port: number): Promise<NodeError | undefined> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', (error) => resolve(listenError(host, port, error)));
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(undefined)));
  });
}

/** A port that is free at present: for listeners that are to share one, which can't be done with 0. */
export function freeListenPort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error) => reject(listenError(host, 0, error)));
    probe.listen({ host, port: 0, exclusive: true }, () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
