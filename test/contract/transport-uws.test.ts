// Runs in worker threads or processes alike; where uWebSockets.js has no binary, the skip says so.

import { describe, it } from 'vitest';
import { chooseTransport } from '../../node/transport/load.js';
import { loadUws } from '../../node/transport/uws-binary.js';
import { transportContract } from './transport.contract.js';

const found = loadUws();
if ('absent' in found) {
  describe('transport uws', () => {
    it.skip(`not here: ${found.absent}`, () => undefined);
  });
} else {
  transportContract('uws', (options, handler) => chooseTransport('uws').create(options, handler));
}
