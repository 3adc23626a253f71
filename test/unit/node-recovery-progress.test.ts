// What is shown of a recovery: nothing of a short one, then a line now and then, or a bar on a terminal.

import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RecoveryDisplay } from '../../node/cli/recovery-progress.js';

interface Line {
  readonly event: string;
  readonly bytesDone: number;
  readonly msg: string;
}

describe('the progress of a recovery', () => {
  let now = 0;
  let lines: Line[];
  const logger = pino({ base: null }, { write: (line) => lines.push(JSON.parse(line) as Line) });
  const show = (display: RecoveryDisplay, bytesDone: number, bytesTotal = 1000): void =>
    display.show({ phase: 'segments', bytesDone, bytesTotal });

  beforeEach(() => {
    now = 5_000;
    lines = [];
    vi.spyOn(performance, 'now').mockImplementation(() => now);
  });
  afterEach(() => vi.restoreAllMocks());

  it('is nothing within the first second', () => {
    const display = new RecoveryDisplay(logger, false);
    now += 999;
    show(display, 500);
    display.end();
    expect(lines).toEqual([]);
  });

  it('is a line of the log each five seconds', () => {
    const display = new RecoveryDisplay(logger, false);
    for (const [after, done] of [
      [1_000, 120],
      [4_999, 500],
      [1, 754],
      [100, 800],
    ] as const) {
      now += after;
      show(display, done);
    }
    display.end();
    expect(lines.map(({ event, bytesDone, msg }) => [event, bytesDone, msg])).toEqual([
      ['recovering', 120, 'recovering: 12 %'],
      ['recovering', 754, 'recovering: 75 %'],
    ]);
  });

  it('is no division by nothing where there is nothing to read', () => {
    const display = new RecoveryDisplay(logger, false);
    now += 1_000;
    show(display, 0, 0);
    expect(lines.map(({ msg }) => msg)).toEqual(['recovering: 0 %']);
  });

  it('is a bar on a terminal, which is gone at the end', () => {
    const written: string[] = [];
    const stream = process.stderr as NodeJS.WriteStream & { isTTY: boolean };
    const wasTerminal = stream.isTTY;
    stream.isTTY = true;
    vi.spyOn(stream, 'write').mockImplementation((text) => written.push(String(text)) > 0);
    try {
      const display = new RecoveryDisplay(logger, true);
      show(display, 100);
      expect(written).toEqual([]);
      now += 1_000;
      show(display, 400 * 1024 * 1024, 800 * 1024 * 1024);
      display.end();
    } finally {
      stream.isTTY = wasTerminal;
    }
    expect(written.join('')).toMatch(/recovering .* 50 % {2}400 ?MiB of 800 ?MiB/);
    expect(lines).toEqual([]);
  });
});
