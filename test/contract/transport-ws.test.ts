import { chooseTransport } from '../../node/transport/load.js';
import { transportContract } from './transport.contract.js';

transportContract('ws', (options, handler) => chooseTransport('ws').create(options, handler));
