import { createTsEngine } from '../../ts/engine/ts-engine.js';
import { engineContract } from './engine.contract.js';

engineContract('ts', createTsEngine);
