// Who can reach the node: loopback is safe by default, anything else has to be asked for.

import { BlockList, isIP } from 'node:net';
import { NodeError } from '../errors.js';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

export function isLoopback(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return host.toLowerCase() === 'localhost';
  return loopback.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

/**
 * Refuses an address that others can reach while there are no tokens. Returns the warning that the
 * operator must see where `insecure` lifts that.
 */
export function checkExposure(
  host: string,
  hasTokens: boolean,
  insecure: boolean,
): string | undefined {
  if (isLoopback(host) || hasTokens) return undefined;
  if (insecure) {
    return `INSECURE: everyone who reaches ${host} may read and write everything (--insecure)`;
  }
  throw new NodeError(
    'HOST_NOT_PROTECTED',
    `host: ${host} can be reached by others and no tokens are configured: set --token-file, ` +
      'or --insecure to let everyone in',
  );
}
