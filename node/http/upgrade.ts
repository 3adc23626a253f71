// Whether a WebSocket upgrade request is let in. Pure.

import type { UPGRADE_REFUSALS } from '../counters.js';
import type { UpgradeRequest } from '../transport/transport.js';

/** Where WebSockets are served. */
export const WEBSOCKET_PATH = '/';

export interface UpgradeRules {
  readonly isServing: boolean;
  readonly connections: number;
  readonly connectionsMax: number;
  /** Origins that may connect, compared exactly; `*` lets in all. */
  readonly allowOrigin: readonly string[];
}

export interface UpgradeRefusal {
  readonly status: (typeof UPGRADE_REFUSALS)[number];
  readonly code: string;
  readonly message: string;
}

export function judgeUpgrade(
  request: UpgradeRequest,
  rules: UpgradeRules,
): UpgradeRefusal | undefined {
  const { origin, path } = request;
  const { allowOrigin } = rules;
  if (path !== WEBSOCKET_PATH) {
    return {
      status: 404,
      code: 'NOT_FOUND',
      message: `no WebSocket at ${path.slice(0, 100)}: connect to ${WEBSOCKET_PATH}`,
    };
  }
  if (origin !== undefined && !allowOrigin.includes('*') && !allowOrigin.includes(origin)) {
    return {
      status: 403,
      code: 'ORIGIN_NOT_ALLOWED',
      message: 'this browser origin is not allowed: start the node with --allow-origin and it',
    };
  }
  if (!rules.isServing) {
    return { status: 503, code: 'UNAVAILABLE', message: 'the node is stopping: try again later' };
  }
  if (rules.connections >= rules.connectionsMax) {
    return {
      status: 503,
      code: 'TOO_MANY_CONNECTIONS',
      message: `${rules.connectionsMax} connections are open, the most allowed: try again later`,
    };
  }
  return undefined;
}
