import { afterEach, describe } from 'vitest';
import { realFiles } from '../../node/log/local/files.js';
import type { LocalLogOptions } from '../../node/log/local/local-log.js';
import { openLocal, ScriptedFiles, temporaryFolder, WRITERS } from '../drive/log.js';
import { type LogFactory, logContract } from './log.contract.js';

const removals: (() => void)[] = [];
afterEach(() => {
  for (const remove of removals.splice(0)) remove();
});

for (const writer of WRITERS) {
  const open =
    (durability: LocalLogOptions['durability']): LogFactory =>
    async (events, how) => {
      const { folder, remove } = temporaryFolder();
      removals.push(remove);
      // No mark comes between what a test reads twice.
      const bounds = { markIdleMs: 60_000 };
      if (how === 'sound') return openLocal(writer, folder, events, { durability, bounds });
      // The first sync in TypeScript is that of the segment itself.
      const fault = { call: 'sync', nth: 2, kind: 'EIO' } as const;
      return openLocal(writer, folder, events, {
        durability,
        bounds,
        ...(writer === 'native'
          ? { nativeFaults: 'sync:1:EIO' }
          : { files: new ScriptedFiles(realFiles, fault) }),
      });
    };
  describe(`${writer} writer`, () => {
    logContract('local, each batch synced', open({ mode: 'sync' }));
    logContract('local, synced at intervals', open({ mode: 'interval', everyMs: 5 }));
  });
}
