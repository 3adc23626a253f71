import { describe, it } from 'vitest';
import { findNative } from '../drive/engines.js';
import { engineContract } from './engine.contract.js';

const native = findNative();
if ('create' in native) engineContract('native', native.create);
else describe('engine contract: native', () => it.skip(native.reason));
