// The addon's part of recovery and compaction for tests; undefined where no addon was built.

import type { NativeRecoveryAddon } from '../../node/log/local/native-recovery.js';
import { chooseEngine } from '../../ts/engine/load.js';
import { findNative } from '../drive/engines.js';

export function findAddon(): NativeRecoveryAddon | undefined {
  if ('reason' in findNative()) return undefined;
  return chooseEngine('native').addon as unknown as NativeRecoveryAddon;
}
