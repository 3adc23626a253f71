// Golden frames and records: what the code writes is what the fixtures hold, and what the fixtures
// hold can be read, by both engines.

import { describe, expect, it } from 'vitest';
import type { Engine } from '../../ts/engine/engine.js';
import { createTsEngine } from '../../ts/engine/ts-engine.js';
import {
  decodeHello,
  decodeWelcome,
  encodeHello,
  encodeWelcome,
  type WelcomeFrame,
} from '../../ts/wire/hello.js';
import { Drive, decodeReply, text } from '../drive/drive.js';
import { type CreateEngine, findNative, OPTIONS } from '../drive/engines.js';
import { helloOf, NO_SESSION } from '../drive/hello.js';
import {
  copyOf,
  del,
  encodeRequest,
  get,
  increment,
  type Operation,
  put,
  scan,
  touch,
} from '../drive/operations.js';
import { decodeRecords } from '../drive/records.js';
import { Fixtures } from '../fixtures/fixtures.js';

const frames = new Fixtures('frames.txt');
const records = new Fixtures('records.txt');

const HELLO = helloOf({ token: 'secret', client: 'rondo-js/0.1.0' });
const WELCOME: WelcomeFrame = {
  protocol: 1,
  version: '0.1.0',
  engine: 'native',
  engineReason: 'addon loaded',
  transport: 'uws',
  durability: 'none',
  partitions: 64,
  limits: {
    frameBytesMax: 4_194_304,
    keyBytesMax: 1024,
    valueBytesMax: 1_048_576,
    operationsPerFrameMax: 8192,
    operationsOutstandingMax: 65_536,
    scanEntriesMax: 1000,
    sessionTtlMsMin: 0,
    sessionTtlMsMax: 0,
    watchesMax: 0,
    answersRememberedMax: 0,
  },
  uptimeMs: 123_456_789_012,
  keys: 5_000_000_000,
  memoryBytes: 2 ** 40 + 3,
  memoryBytesMax: 2 ** 53 - 1,
  connections: 7,
  ...NO_SESSION,
};
const SECRET = Uint8Array.from({ length: 16 }, (_, index) => 0xf0 + index);

/** One frame with every operation, and every kind of answer and record it leads to. */
const OPERATIONS: Operation[] = [
  { ...put('plan/1', 'collect', { ttl: 60_000 }), id: 7 },
  { ...put('plan/1', 'other', { ifAbsent: true }), id: 8 },
  { ...put('plan/1', 'write', { ifRevision: 1, ttl: 'keep' }), id: 300 },
  { ...increment('{run}hits', -42, 1000), id: 70_000 },
  { ...touch('{run}hits', 5), id: 70_001 },
  { ...get('plan/1'), id: 70_002 },
  { ...get('plan/1', { keysOnly: true }), id: 70_003 },
  { ...put('é', new Uint8Array([0, 255, 128])), id: 70_004 },
  { ...scan('', { limit: 2 }), id: 70_005 },
  { ...scan('pla', { limit: 1000, cursor: 'plan', keysOnly: true }), id: 70_006 },
  { ...del('plan/1', { ifRevision: 9 }), id: 70_007 },
  { ...del('plan/1'), id: 70_008 },
  { ...get('plan/1'), id: 70_009 },
  { ...get('k'), code: 200, id: 2 ** 32 - 1 },
];
const TIME = 1_700_000_000_000;

describe('fixtures of the first exchange', () => {
  it('hello', () => {
    const frame = encodeHello(HELLO);
    frames.expectBytes('hello', 'Hello: protocol 1, token "secret", a client name', frame);
    expect(decodeHello(copyOf(frames.bytesOf('hello')))).toEqual(HELLO);
  });

  it('a hello without a token', () => {
    const hello = { ...HELLO, token: '' };
    frames.expectBytes('hello-no-token', 'Hello: an empty token', encodeHello(hello));
    expect(decodeHello(copyOf(frames.bytesOf('hello-no-token')))).toEqual(hello);
  });

  it('a hello that resumes a session', () => {
    const session = 2 ** 53 - 2;
    const hello = { ...HELLO, sessionTtlMs: 10_000, session, sessionSecret: SECRET };
    const what = 'Hello: resumes session 2^53 - 2 with its secret, or has a new one of 10 s';
    frames.expectBytes('hello-session', what, encodeHello(hello));
    expect(decodeHello(copyOf(frames.bytesOf('hello-session')))).toEqual(hello);
  });

  it('a welcome with a new session', () => {
    const welcome: WelcomeFrame = {
      ...WELCOME,
      limits: {
        ...WELCOME.limits,
        sessionTtlMsMin: 1000,
        sessionTtlMsMax: 2 ** 40,
        watchesMax: 100_000,
        answersRememberedMax: 1024,
      },
      node: 2 ** 53 - 1,
      session: 2 ** 53 - 2,
      sessionTtlMs: 10_000,
      sessionSecret: SECRET,
      position: 2 ** 40 + 7,
      sessions: 9,
      watches: 70_000,
    };
    const what = 'Welcome: a new session with its secret, and what came with sessions';
    frames.expectBytes('welcome-session', what, encodeWelcome(welcome));
    expect(decodeWelcome(copyOf(frames.bytesOf('welcome-session')))).toEqual(welcome);
  });

  it('a welcome to a session that goes on', () => {
    const welcome = { ...WELCOME, session: 7, sessionResumed: true, answersRemembered: true };
    const what = 'Welcome: session 7 goes on, and answers are remembered';
    frames.expectBytes('welcome-resumed', what, encodeWelcome(welcome));
    expect(decodeWelcome(copyOf(frames.bytesOf('welcome-resumed')))).toEqual(welcome);
  });

  it('welcome', () => {
    const frame = encodeWelcome(WELCOME);
    frames.expectBytes('welcome', 'Welcome: every field, numbers above 32 bits', frame);
    expect(decodeWelcome(copyOf(frames.bytesOf('welcome')))).toEqual(WELCOME);
  });
});

describe('the fixture of a request', () => {
  it('is what the writer writes', () => {
    const frame = new Uint8Array(encodeRequest(OPERATIONS));
    frames.expectBytes(
      'request',
      'Request: every operation, in 64 partitions at a fixed time',
      frame,
    );
    expect(frame.length).toBeGreaterThan(500);
  });
});

function engineFixtures(name: string, create: CreateEngine): void {
  const open = (): { engine: Engine; drive: Drive } => {
    const engine = create(OPTIONS);
    const drive = new Drive(engine);
    drive.now = TIME;
    return { engine, drive };
  };

  describe(`fixtures of what the ${name} engine makes`, () => {
    it('reply', () => {
      const { engine, drive } = open();
      const { replies } = drive.frame(copyOf(frames.bytesOf('request')));
      frames.expectBytes('reply', 'Reply: the answer to the request above', replies[0]!);
      expect(replies).toHaveLength(1);
      const results = decodeReply(frames.bytesOf('reply'));
      expect(results.map(({ id, status }) => `${id} ${status}`)).toEqual([
        '7 OK',
        '8 ALREADY_EXISTS',
        '300 OK',
        '70000 OK',
        '70001 OK',
        '70002 OK',
        '70003 OK',
        '70004 OK',
        '70005 OK',
        '70005 OK',
        '70005 OK',
        '70006 OK',
        '70006 OK',
        '70007 REVISION_MISMATCH',
        '70008 OK',
        '70009 NOT_FOUND',
        '4294967295 UNKNOWN_OPERATION',
      ]);
      engine.close();
    });

    it('records', () => {
      const { engine, drive } = open();
      const { recordBytes } = drive.frame(copyOf(frames.bytesOf('request')));
      records.expectBytes(
        'request-back',
        'What the request of frames.txt makes: puts, touch, delete, with how far back each looks',
        recordBytes,
      );
      const { recordBytes: expired } = drive.advance(TIME + 5);
      const what = 'What time makes 5 ms later: an expire that looks back';
      records.expectBytes('expired-back', what, expired);
      expect(decodeRecords(Buffer.concat([recordBytes, expired])).map(({ kind }) => kind)).toEqual([
        1, 1, 1, 4, 1, 2, 3,
      ]);
      engine.close();
    });

    it.each([
      ['', 'from before records looked back'],
      ['-back', 'that look back'],
    ])('the records of the fixture fold: request%s, %s', (more) => {
      const { engine, drive } = open();
      engine.fold(records.bytesOf(`request${more}`));
      expect(drive.state().map(({ key, value }) => [key, value])).toEqual([
        ['{run}hits', '-42'],
        [text(Buffer.from('é')), '\u0000ÿ\u0080'],
      ]);
      engine.fold(records.bytesOf(`expired${more}`));
      expect(drive.keys).toBe(1);
      engine.close();
    });
  });
}

engineFixtures('ts', createTsEngine);
const native = findNative();
if ('create' in native) engineFixtures('native', native.create);
else describe('fixtures of what the native engine makes', () => it.skip(native.reason));
