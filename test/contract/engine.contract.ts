// What every engine does, in the order of the header of `ts/engine/engine.ts`. An implementation's
// test calls this with a name and a way to make one; the parts are one file a subject.

import { describe } from 'vitest';
import type { CreateEngine } from '../drive/engines.js';
import { checksContract } from './engine/checks.js';
import { expiryContract } from './engine/expiry.js';
import { foldContract } from './engine/fold.js';
import { gateContract } from './engine/gate.js';
import { limitsContract } from './engine/limits.js';
import { operationsContract } from './engine/operations.js';
import { partitionsContract } from './engine/partitions.js';
import { refusalContract } from './engine/refusal.js';
import { restoreContract } from './engine/restore.js';
import { scanContract } from './engine/scan.js';

export function engineContract(name: string, create: CreateEngine): void {
  describe(`engine contract: ${name}`, () => {
    checksContract(create);
    operationsContract(create);
    expiryContract(create);
    scanContract(create);
    limitsContract(create);
    partitionsContract(create);
    foldContract(create);
    restoreContract(create);
    gateContract(create);
    refusalContract(create);
  });
}
