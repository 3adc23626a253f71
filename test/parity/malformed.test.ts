// The corpus of malformed frames against both engines: each answers as test/fixtures/malformed.txt
// says, and what is refused changes nothing. UPDATE_SCENARIOS=1 writes the answers of the TypeScript
// engine anew: read the diff.

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createTsEngine } from '../../ts/engine/ts-engine.js';
import { Status, statusName } from '../../ts/wire/status.js';
import { Drive } from '../drive/drive.js';
import { type CreateEngine, findNative, OPTIONS } from '../drive/engines.js';
import { put } from '../drive/operations.js';
import { malformedCases } from './malformed.js';

const fixture = new URL('../fixtures/malformed.txt', import.meta.url);
const cases = malformedCases();
const native = findNative();

describe('malformed frames', { timeout: 120_000 }, () => {
  it('are 200 at least, each with a name of its own', () => {
    expect(cases.length).toBeGreaterThanOrEqual(200);
    expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
    const truncated = cases.filter(({ name }) => name.startsWith('cut to'));
    expect(cases.length - truncated.length).toBeGreaterThanOrEqual(200);
  });

  it('are answered by ts as the fixture says', () => {
    const answered = answers(createTsEngine);
    if (process.env.UPDATE_SCENARIOS === '1') writeFileSync(fixture, answered);
    expect(answered).toBe(readFileSync(fixture, 'utf8'));
  });

  if ('reason' in native) {
    it.skip(native.reason);
    return;
  }
  const { create } = native;
  it('are answered by native as the fixture says', () => {
    expect(answers(create)).toBe(readFileSync(fixture, 'utf8'));
  });
});

/** A line a case: status, digest of the frame, name. */
function answers(create: CreateEngine): string {
  const lines = [
    '# status, digest of the frame, name of the case; the frames are made by test/parity/malformed.ts',
  ];
  const open = (): Drive => {
    const drive = new Drive(create(OPTIONS));
    drive.run(put('held', 'before', { ttl: 1000 }), put('other', 'x'));
    return drive;
  };
  let drive = open();
  for (const { name, frame } of cases) {
    const { engine, now } = drive;
    const before = drive.state();
    const counters = engine.counters.slice();
    const digest = createHash('sha256').update(new Uint8Array(frame)).digest('hex').slice(0, 12);
    drive.now = now + 10_000;
    const { refusal } = drive.frame(frame);
    drive.now = now;
    if (refusal === Status.Ok) {
      engine.close();
      drive = open();
    } else {
      expect(Buffer.compare(bytesOf(engine.counters), bytesOf(counters)), name).toBe(0);
      expect(drive.state(), name).toEqual(before);
    }
    lines.push(`${statusName(refusal).padEnd(19)} ${digest} ${name}`);
  }
  drive.engine.close();
  return `${lines.join('\n')}\n`;
}

function bytesOf(counters: Float64Array): Uint8Array {
  return new Uint8Array(counters.buffer, counters.byteOffset, counters.byteLength);
}
