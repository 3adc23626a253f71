// Chooses the transport, once, at start, and says why.

import { NodeError } from '../errors.js';
import type { Transport, TransportHandler, TransportKind, TransportOptions } from './transport.js';
import { createUwsTransport } from './uws.js';
import { loadUws } from './uws-binary.js';
import { WsTransport } from './ws.js';

export type TransportMode = 'auto' | TransportKind;

export interface TransportChoice {
  readonly kind: TransportKind;
  /** Why this transport: for the log, `rondo doctor` and the metrics. */
  readonly reason: string;
  /** Whether several listeners can share a port, so that the system spreads connections over them. */
  readonly sharesPorts: boolean;
  create<T>(options: TransportOptions, handler: TransportHandler<T>): Transport;
}

/**
 * `uws` and `ws` insist on that transport. `auto` takes uWebSockets.js and falls back only where it
 * has no binary for this system. Throws `NodeError`: `TRANSPORT_ABSENT` (`uws` without a binary) or
 * `TRANSPORT_BROKEN` (a binary that does not load).
 */
export function chooseTransport(mode: TransportMode, load = loadUws): TransportChoice {
  if (mode === 'ws') return wsChoice('asked for');
  const found = load();
  if ('binary' in found) {
    const { binary, source } = found;
    return {
      kind: 'uws',
      reason: `${mode === 'uws' ? 'asked for' : 'the fastest here'}, ${source}`,
      // On macOS the option is there too, but all connections go to one of the listeners.
      sharesPorts: process.platform === 'linux',
      create: (options, handler) => createUwsTransport(binary, options, handler),
    };
  }
  if (mode === 'uws') {
    throw new NodeError('TRANSPORT_ABSENT', `${found.absent}: start with --transport auto or ws`, {
      cause: found.cause,
    });
  }
  return wsChoice(found.absent);
}

function wsChoice(reason: string): TransportChoice {
  return {
    kind: 'ws',
    reason,
    sharesPorts: false,
    create: (options, handler) => new WsTransport(options, handler),
  };
}
