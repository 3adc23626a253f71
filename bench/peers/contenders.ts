// Who is measured: each side with its server, and the names that tables show.

import { createRequire } from 'node:module';
import { disk } from './disk.js';
import { echo } from './echo.js';
import { etcd } from './etcd.js';
import { SIDES, type Side } from './measurements.js';
import { nats } from './nats.js';
import { rondo } from './node.js';
import type { Found, Peer } from './peer.js';
import { redis, redisAlways } from './redis.js';

/** The peer that each side's server is. Client packages are sides of Redis. */
const PEERS: Record<Side, Peer> = {
  rondo: rondo('native', 'none'),
  'rondo-ts': rondo('ts', 'none'),
  'rondo-sync': rondo('native', 'sync'),
  redis,
  echo,
  ioredis: redis,
  'node-redis': redis,
  'redis-always': redisAlways,
  etcd,
  disk,
  nats,
};
/** npm packages that are what a side measures. */
const PACKAGES: Partial<Record<Side, string>> = { ioredis: 'ioredis', 'node-redis': 'redis' };

export interface Contender {
  readonly side: Side;
  readonly name: string;
  /** Undefined where it is absent. */
  readonly version: string | undefined;
  readonly install: string | undefined;
  readonly peer: Peer;
  readonly found: Found | undefined;
}

/** Looks what is installed; asks each program once. */
export function findContenders(): Map<Side, Contender> {
  const found = new Map<Peer, Found | undefined>();
  const contenders = new Map<Side, Contender>();
  for (const side of SIDES) {
    const peer = PEERS[side];
    if (!found.has(peer)) found.set(peer, peer.find());
    const package_ = PACKAGES[side];
    const server = found.get(peer);
    const contender = { side, install: peer.install, peer, found: server };
    if (package_ === undefined) {
      contenders.set(side, { ...contender, name: peer.name, version: server?.version });
    } else {
      const version = server && `${versionOf(package_)}, Redis ${server.version}`;
      contenders.set(side, { ...contender, name: side, version });
    }
  }
  return contenders;
}

function versionOf(package_: string): string {
  const require = createRequire(import.meta.url);
  const { version } = require(`${package_}/package.json`) as { version: string };
  return version;
}
