// The disk alone: a loop that writes one record and syncs it, by the load generator on the server's core.
// Nothing serves; the address is the file.

import { join } from 'node:path';
import { BATCH_HEADER_BYTES } from '../../node/log/local/format.js';
import { recordBytes } from '../../ts/engine/records.js';
import type { LoadMeasurement } from './measurements.js';
import type { Peer, Server, StartContext } from './peer.js';

/** Bytes of the generator's keys. */
const KEY_BYTES = 17;

export const disk: Peer = {
  name: 'bare write and sync',
  find: () => ({ program: '', version: 'fdatasync' }),
  async start(_found, { folder }: StartContext): Promise<Server> {
    return { address: join(folder, 'probe') };
  },
};

/** What the log of the node writes for one put that comes alone. */
export function writeBytesOf({ valueBytes }: LoadMeasurement): number {
  return BATCH_HEADER_BYTES + recordBytes(KEY_BYTES, valueBytes);
}
