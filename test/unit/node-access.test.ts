import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkExposure, isLoopback } from '../../node/config/exposure.js';
import { readTokenFile, Tokens } from '../../node/config/tokens.js';
import { judgeHello } from '../../node/hello.js';
import { judgeUpgrade, type UpgradeRules } from '../../node/http/upgrade.js';
import { CLOSE_REASON_BYTES_MAX } from '../../node/limits.js';
import { closeReason } from '../../node/refusal.js';
import { encodeHello } from '../../ts/wire/hello.js';
import { PROTOCOL_VERSION } from '../../ts/wire/layout.js';
import { HELLO_BYTES_MAX, TOKEN_BYTES_MAX } from '../../ts/wire/limits.js';
import { Status } from '../../ts/wire/status.js';
import { helloOf } from '../drive/hello.js';

describe('tokens', () => {
  const tokens = new Tokens(['alpha', 'beta']);

  it('accept each of theirs and nothing else', () => {
    expect(['alpha', 'beta'].every((token) => tokens.accepts(token))).toBe(true);
    for (const token of ['', 'alph', 'alphaa', 'ALPHA', 'gamma', ' alpha']) {
      expect(tokens.accepts(token)).toBe(false);
    }
    const long = 'x'.repeat(TOKEN_BYTES_MAX + 1);
    expect(new Tokens([long]).accepts(long)).toBe(false);
    expect(tokens.count).toBe(2);
  });

  it('read the Bearer header', () => {
    expect(tokens.acceptsHeader('Bearer alpha')).toBe(true);
    expect(tokens.acceptsHeader('bearer  beta ')).toBe(true);
    for (const header of [undefined, '', 'alpha', 'Bearer', 'Bearer alpha beta', 'Basic alpha']) {
      expect(tokens.acceptsHeader(header)).toBe(false);
    }
  });
});

describe('token file', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rondo-tokens-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function fileWith(content: string, mode = 0o600): string {
    const path = join(folder, `tokens-${mode}-${content.length}`);
    writeFileSync(path, content, { mode });
    return path;
  }

  it('has one token a line, with comments and blank lines', () => {
    const { tokens, warnings } = readTokenFile(fileWith('# ours\r\n\r\n  one  \r\ntwo\n#three\n'));
    expect(tokens.count).toBe(2);
    expect(tokens.accepts('one') && tokens.accepts('two')).toBe(true);
    expect(warnings).toEqual([]);
  });

  it.skipIf(process.platform === 'win32')('is warned of when others can read it', () => {
    expect(readTokenFile(fileWith('abcd', 0o640)).warnings[0]).toMatch(/chmod 600/);
  });

  it.each([
    ['', /holds no token/],
    ['# only this\n\n', /holds no token/],
    ['good\nnot good\n', /line 2: .*printable ASCII without spaces/],
    ['t\u00f6ken\n', /line 1/],
    [`${'x'.repeat(TOKEN_BYTES_MAX + 1)}\n`, /4096 bytes at most/],
  ])('is refused: %j', (content, says) => {
    expect(() => readTokenFile(fileWith(content))).toThrow(says);
  });

  it('is refused when it is not there', () => {
    expect(() => readTokenFile(join(folder, 'absent'))).toThrow(
      expect.objectContaining({ code: 'TOKEN_FILE_INVALID' }) as Error,
    );
  });
});

describe('exposure', () => {
  it('knows loopback', () => {
    for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost', 'LOCALHOST']) {
      expect(isLoopback(host)).toBe(true);
    }
    for (const host of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', 'example.com', 'fe80::1']) {
      expect(isLoopback(host)).toBe(false);
    }
  });

  it('asks for tokens or --insecure beyond it', () => {
    expect(checkExposure('127.0.0.1', false, false)).toBeUndefined();
    expect(checkExposure('0.0.0.0', true, false)).toBeUndefined();
    expect(checkExposure('0.0.0.0', false, true)).toMatch(/INSECURE/);
    expect(() => checkExposure('0.0.0.0', false, false)).toThrow(/--token-file/);
  });
});

describe('upgrade', () => {
  const rules: UpgradeRules = {
    isServing: true,
    connections: 0,
    connectionsMax: 1,
    allowOrigin: ['https://a.example'],
  };
  const request = {
    path: '/',
    origin: undefined,
    authorization: undefined,
    remoteAddress: '127.0.0.1',
  };

  it('lets in what it should', () => {
    expect(judgeUpgrade(request, rules)).toBeUndefined();
    expect(judgeUpgrade({ ...request, origin: 'https://a.example' }, rules)).toBeUndefined();
  });

  it('refuses in the order path, origin, state, number', () => {
    const full = { ...rules, isServing: false, connections: 1 };
    expect(judgeUpgrade({ ...request, path: '/x', origin: 'x' }, full)?.status).toBe(404);
    expect(judgeUpgrade({ ...request, origin: 'x' }, full)?.status).toBe(403);
    expect(judgeUpgrade(request, full)?.code).toBe('UNAVAILABLE');
    expect(judgeUpgrade(request, { ...full, isServing: true })?.code).toBe('TOO_MANY_CONNECTIONS');
  });
});

describe('hello', () => {
  const bytesOf = (protocol: number, token: string) =>
    encodeHello(helloOf({ protocol, token })).buffer;

  it('is judged before anything else is taken', () => {
    const tokens = new Tokens(['secret']);
    const judge = (message: ArrayBuffer, header?: string) =>
      judgeHello(message, header, tokens).status;
    expect(judge(bytesOf(PROTOCOL_VERSION, 'secret'))).toBe(Status.Ok);
    expect(judge(bytesOf(PROTOCOL_VERSION, ''), 'Bearer secret')).toBe(Status.Ok);
    expect(judge(bytesOf(PROTOCOL_VERSION, 'wrong'))).toBe(Status.Unauthenticated);
    expect(judge(bytesOf(PROTOCOL_VERSION + 1, 'wrong'))).toBe(Status.ProtocolMismatch);
    expect(judge(new ArrayBuffer(0))).toBe(Status.HelloRequired);
    const grouped = (group: number) =>
      judge(encodeHello(helloOf({ group, token: 'secret' })).buffer);
    expect([2 ** 53 - 1, 2 ** 53].map(grouped)).toEqual([Status.Ok, Status.HelloRequired]);
    expect(judge(bytesOf(PROTOCOL_VERSION, 'x'.repeat(HELLO_BYTES_MAX)))).toBe(
      Status.HelloRequired,
    );
    expect(judgeHello(bytesOf(PROTOCOL_VERSION, ''), undefined, undefined).status).toBe(Status.Ok);
  });
});

describe('a mutated hello', () => {
  const seed = Number(process.env.RONDO_SEED ?? 1);

  it(`never throws, whatever its bytes (RONDO_SEED=${seed})`, () => {
    const tokens = new Tokens(['secret']);
    const valid = encodeHello(
      helloOf({ token: 'secret', session: 7, sessionSecret: new Uint8Array(16) }),
    );
    const statuses = new Set<number>();
    let state = seed >>> 0 || 1;
    // xorshift32 (Marsaglia, 2003).
    const random = (below: number) => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % below;
    };
    for (let round = 0; round < 50_000; round++) {
      const bytes = valid.slice(0, random(4) === 0 ? random(valid.length + 1) : valid.length);
      for (let change = random(4); change >= 0 && bytes.length > 0; change--) {
        const edge = [0, 1, 0x7f, 0x80, 0xff][random(5)] ?? 0;
        bytes[random(bytes.length)] = random(2) === 0 ? edge : random(256);
      }
      statuses.add(judgeHello(bytes.buffer, undefined, tokens).status);
    }
    expect([...statuses].sort((a, b) => a - b)).toEqual([
      Status.Ok,
      Status.HelloRequired,
      Status.ProtocolMismatch,
      Status.Unauthenticated,
    ]);
  });
});

describe('close reasons', () => {
  const limits = {
    frameBytesMax: Number.MAX_SAFE_INTEGER,
    sendBufferBytesMax: Number.MAX_SAFE_INTEGER,
    helloDeadlineMs: Number.MAX_SAFE_INTEGER,
  };

  it.each(Object.values(Status).filter((status) => typeof status === 'number'))(
    'fit a close frame and are ASCII: status %i',
    (status) => {
      const reason = closeReason(status, limits);
      expect(reason).toMatch(/^[\x20-\x7e]+$/);
      expect(reason.length).toBeLessThanOrEqual(CLOSE_REASON_BYTES_MAX);
    },
  );

  it('are whole at the usual limits', () => {
    const usual = { frameBytesMax: 2 ** 26, sendBufferBytesMax: 2 ** 31, helloDeadlineMs: 5_000 };
    for (const status of [
      Status.Malformed,
      Status.FrameTooLarge,
      Status.TooManyOperations,
      Status.DuplicateId,
      Status.HelloRequired,
      Status.HelloTimeout,
      Status.ProtocolMismatch,
      Status.Unauthenticated,
      Status.TextNotSupported,
      Status.SlowReader,
    ]) {
      expect(closeReason(status, usual).length).toBeLessThan(CLOSE_REASON_BYTES_MAX);
    }
  });
});
