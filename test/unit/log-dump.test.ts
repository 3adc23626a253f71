// How the records of sessions, locks, fences and ephemeral keys are shown: readably, by name, and without
// what stands for a session's secret.

import { Command } from 'commander';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { addDumpCommand } from '../../node/cli/log-dump.js';
import { START_TIME } from './log-files.js';
import { LiveLog } from './log-live.js';

const SESSION = 0xabcdef;
const ID = '00000000abcdef';

/** A log of every kind, with all batches in its segment. */
function everyKind(): LiveLog {
  const log = new LiveLog();
  const { make } = log;
  make.isLinked = true;
  log.appendBatch([make.session(SESSION, 10_000), make.put('app/a', '1')]);
  log.appendBatch([make.ephemeral('app/a', 'mine', SESSION), make.touch('app/a', START_TIME)]);
  const token = make.nextToken('app/lock');
  log.appendBatch([make.hold('app/lock', SESSION, { mode: 1, lease: START_TIME + 1000 })]);
  log.appendBatch([make.hold('app/lock', SESSION, { token, mode: 2, depth: 3 })]);
  log.appendBatch([make.fence('app/lock', 2, token + 40), make.holdEnd('app/lock', token)]);
  log.appendBatch([make.sessionEnd(SESSION)]);
  return log;
}

describe('rondo log dump', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  async function dump(log: LiveLog, ...words: string[]): Promise<string> {
    let text = '';
    vi.spyOn(process.stdout, 'write').mockImplementation(((
      chunk: string,
      done?: (error?: Error) => void,
    ) => {
      text += chunk;
      done?.();
      return true;
    }) as typeof process.stdout.write);
    const command = new Command('log');
    addDumpCommand(command);
    await command.parseAsync(['dump', '--data-dir', log.paths.path, ...words], { from: 'user' });
    vi.restoreAllMocks();
    return text;
  }

  /** What follows the revision, a line a record. */
  const factsOf = (text: string) =>
    text
      .split('\n')
      .filter((line) => line.startsWith('  '))
      .map((line) => line.replace(/ +\d{4}-\S+ {2}partition \d+ {2}revision \d+ {2}/, ': ').trim());

  it('says what each record says', async () => {
    const text = await dump(everyKind());
    const iso = (ms: number) => new Date(START_TIME + ms).toISOString();
    expect(factsOf(text)).toEqual([
      `session: ${ID}  ttl 10000 ms`,
      'put: app/a  = "1"',
      `put: app/a  lives with session ${ID}  = "mine"`,
      `touch: app/a  expires ${iso(0)}`,
      `hold: app/lock  token 4  session ${ID}  shared  depth 1  operation 77  granted ${iso(4)}  lease until ${iso(1000)}`,
      `hold: app/lock  token 4  session ${ID}  permit  depth 3  operation 77  granted ${iso(5)}`,
      'fence: app/lock  token 44',
      'hold-end: app/lock  token 4',
      `session-end: ${ID}`,
    ]);
  });

  it('gives programs the same', async () => {
    const lines = (await dump(everyKind(), '--json')).split('\n').filter((line) => line !== '');
    const records = lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ type }) => type === 'record')
      .map(({ type, batch, time, revision, ...facts }) => facts);
    const iso = (ms: number) => new Date(START_TIME + ms).toISOString();
    const key = { key: 'app/a', partition: 0 };
    const lock = { lock: 'app/lock', partition: 0, token: 4 };
    const hold = { kind: 'hold', ...lock, session: ID, operation: 77 };
    const leased = { mode: 'shared', depth: 1, grantedAt: iso(4), leaseUntil: iso(1000) };
    const free = { mode: 'permit', depth: 3, grantedAt: iso(5), leaseUntil: null };
    expect(records).toEqual([
      { kind: 'session', session: ID, partition: 3, ttlMs: 10_000 },
      { kind: 'put', ...key, value: '1', expiresAt: null, back: 0 },
      { kind: 'put', ...key, value: 'mine', expiresAt: null, session: ID, back: 1 },
      { kind: 'touch', ...key, expiresAt: iso(0), back: 1 },
      { ...hold, ...leased },
      { ...hold, ...free },
      { kind: 'fence', ...lock, partition: 2, token: 44 },
      { kind: 'hold-end', ...lock },
      { kind: 'session-end', session: ID, partition: 3 },
    ]);
  });

  it('takes a prefix of names, of all kinds, and no part of what follows them', async () => {
    const kindsOf = (text: string) => factsOf(text).map((line) => line.slice(0, line.indexOf(':')));
    const log = everyKind();
    expect(kindsOf(await dump(log, '--key', 'app/'))).toHaveLength(7);
    expect(kindsOf(await dump(log, '--key', 'app/lock'))).toEqual([
      'hold',
      'hold',
      'fence',
      'hold-end',
    ]);
    expect(kindsOf(await dump(log, '--key', '00000000ab'))).toEqual(['session', 'session-end']);
    expect(kindsOf(await dump(log, '--key', 'app/lock\0'))).toEqual([]);
  });

  it('shows nothing of secrets', async () => {
    const digest = Buffer.alloc(24, `secret ${SESSION} of it all`).subarray(9);
    for (const words of [[], ['--full'], ['--json'], ['--json', '--full']]) {
      const text = await dump(everyKind(), ...words);
      for (const encoding of ['latin1', 'hex', 'base64'] as const) {
        expect(text).not.toContain(digest.toString(encoding).slice(0, 10));
      }
    }
  });
});
