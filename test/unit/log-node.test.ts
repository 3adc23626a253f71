// What a node learns from its log as it opens it: which log it is, and the records behind the snapshot.

import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { realClock } from '../../node/clock.js';
import { loadSettings } from '../../node/config/config.js';
import { openState } from '../../node/state.js';
import { HistoryReader } from '../../node/watch/history.js';
import { OUTCOME_RECORD_BYTES } from '../../ts/engine/engine.js';
import { chooseEngine } from '../../ts/engine/load.js';
import { recordBytes } from '../../ts/engine/records.js';
import { copyOf, encodeRequest, put } from '../drive/operations.js';
import { temporaryFolder } from './log-files.js';

const NOW = 1_700_000_000_000;

function open(dataDir: string | undefined, durability: string) {
  const flags = { ...(dataDir && { dataDir }), durability, partitions: 4, engine: 'ts' };
  const fail = (error: Error): never => {
    throw error;
  };
  return openState({
    settings: loadSettings({ flags, environment: {}, configPath: undefined }),
    engine: chooseEngine('ts'),
    clock: realClock,
    logger: pino({ level: 'silent' }),
    events: { onProgress() {}, onFailure: fail },
  });
}

describe('the number of a log', () => {
  it('is that of the directory at every start, and of no other', async () => {
    const folder = temporaryFolder();
    const numbers: number[] = [];
    for (const name of ['a', 'b', 'a', 'b']) {
      const state = await open(join(folder, name), 'sync');
      numbers.push(state.node);
      await state.close();
    }
    expect(numbers.slice(2)).toEqual(numbers.slice(0, 2));
    expect(new Set(numbers).size).toBe(2);
    for (const number of numbers) {
      expect(Number.isSafeInteger(number)).toBe(true);
      expect(number).toBeGreaterThan(0);
    }
  });

  it('is drawn anew where nothing is kept', async () => {
    const numbers: number[] = [];
    for (let start = 0; start < 2; start++) {
      const state = await open(undefined, 'none');
      numbers.push(state.node);
      await state.close();
    }
    expect(new Set(numbers).size).toBe(2);
    expect(numbers.every((number) => Number.isSafeInteger(number) && number > 0)).toBe(true);
  });
});

describe('the records of the log', () => {
  it('are in the history of watches when it is opened', async () => {
    const path = join(temporaryFolder(), 'data');
    const made: Uint8Array[] = [];
    for (let start = 0; start < 3; start++) {
      const { engine, log, history, close } = await open(path, 'sync');
      const seen: Uint8Array[] = [];
      const reader = new HistoryReader(history);
      reader.seek(0);
      while (reader.next()) {
        const { at, keyAt, keyEnd, valueEnd } = reader;
        const length = recordBytes(keyEnd - keyAt, valueEnd - keyEnd);
        seen.push(reader.bytes.slice(at, at + length));
      }
      expect(Buffer.concat(seen)).toEqual(Buffer.concat(made));
      expect([history.oldest, history.end]).toEqual([0, start * 2]);
      const request = encodeRequest([put('a', `${start}`), { ...put('b', '2'), id: 2 }]);
      expect(engine.execute(copyOf(new Uint8Array(request)), 0, NOW)).toBeGreaterThan(0);
      const length = engine.outcome[OUTCOME_RECORD_BYTES] as number;
      made.push(engine.records.slice(0, length));
      log?.append(log.epoch, engine.records, length);
      await close();
    }
  });
});
