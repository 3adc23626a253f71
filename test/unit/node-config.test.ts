import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closest } from '../../node/config/closest.js';
import {
  type ConfigInput,
  defaultSettings,
  loadSettings,
  workersOf,
} from '../../node/config/config.js';
import { flagOf, SETTING_NAMES, SETTINGS, variableOf } from '../../node/config/settings.js';
import { formatSize, parseSize } from '../../node/config/size.js';
import { NodeError } from '../../node/errors.js';
import { WORKERS_MAX } from '../../ts/wire/limits.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rondo-config-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function load(input: Partial<ConfigInput>) {
  return loadSettings({ flags: {}, environment: {}, configPath: undefined, ...input });
}

function problemOf(input: Partial<ConfigInput>): NodeError {
  try {
    load(input);
  } catch (error) {
    if (error instanceof NodeError) return error;
  }
  throw new Error('no NodeError was thrown');
}

function fileWith(content: unknown): string {
  const path = join(folder, 'config.json');
  writeFileSync(path, JSON.stringify(content));
  return path;
}

describe('settings', () => {
  it('are the defaults where nothing is given', () => {
    expect(load({})).toEqual(defaultSettings());
    expect(load({})).toMatchObject({ host: '127.0.0.1', port: 7400, engine: 'auto' });
  });

  it('have defaults that are valid', () => {
    for (const name of SETTING_NAMES) {
      expect(SETTINGS[name].schema.parse(SETTINGS[name].initial)).toEqual(SETTINGS[name].initial);
    }
  });

  it('come from the flag before the environment before the file', () => {
    const configPath = fileWith({ port: 1, partitions: 2, engine: 'ts' });
    const environment = { RONDO_PORT: '3', RONDO_PARTITIONS: '4' };
    const settings = load({ configPath, environment, flags: { port: '5' } });
    expect(settings).toMatchObject({ port: 5, partitions: 4, engine: 'ts' });
  });

  it('take the file from RONDO_CONFIG, and --config before it', () => {
    const path = fileWith({ port: 11 });
    expect(load({ environment: { RONDO_CONFIG: path } }).port).toBe(11);
    const environment = { RONDO_CONFIG: join(folder, 'absent') };
    expect(load({ environment, configPath: path }).port).toBe(11);
  });

  it('read every form of every type', () => {
    const environment = {
      RONDO_MEMORY_MAX: '512MiB',
      RONDO_ALLOW_ORIGIN: 'https://a.example, http://localhost:3000',
      RONDO_INSECURE: '1',
      RONDO_LOG_LEVEL: 'debug',
      RONDO_URL: 'ws://other:7400',
      RONDO_TOKEN: 'for the data commands',
      RONDO_REQUIRE_NATIVE: '1',
      PATH: '/bin',
    };
    expect(load({ environment })).toMatchObject({
      memoryMax: 512 * 1024 * 1024,
      allowOrigin: ['https://a.example', 'http://localhost:3000'],
      insecure: true,
      logLevel: 'debug',
    });
    const configPath = fileWith({ memoryMax: 1000, allowOrigin: ['*'], insecure: false });
    expect(load({ configPath })).toMatchObject({
      memoryMax: 1000,
      allowOrigin: ['*'],
      insecure: false,
    });
  });

  it.each([
    ['port', '65536'],
    ['port', '-1'],
    ['port', '1e3'],
    ['port', ''],
    ['host', ''],
    ['partitions', '3'],
    ['partitions', '0'],
    ['partitions', '131072'],
    ['engine', 'rust'],
    ['transport', ''],
    ['valueBytesMax', '65MiB'],
    ['valueBytesMax', 'many'],
    ['memoryMax', '-1'],
    ['connectionsMax', '0'],
    ['outstandingMax', '0'],
    ['sendBufferBytesMax', '1'],
    ['workers', '0'],
    ['workers', '65'],
    ['workers', 'all'],
    ['helloDeadlineMs', '0'],
    ['allowOrigin', ['https://a.example/path']],
    ['allowOrigin', ['a.example']],
    ['insecure', 'yes'],
    ['logLevel', 'loud'],
    ['logFormat', 'xml'],
  ] as const)('refuse %s = %j and name what is allowed', (name, value) => {
    const { code, message } = problemOf({ flags: { [name]: value } });
    expect(code).toBe('CONFIG_INVALID');
    expect(message).toBe(
      `${name} (${flagOf(name)}): ${JSON.stringify(value)} is not valid; ` +
        `allowed: ${SETTINGS[name].allowed}`,
    );
  });

  it('refuse values of the wrong type in the file', () => {
    const configPath = fileWith({ port: '7400', insecure: 'true', engine: 1, memoryMax: 1.5 });
    const { message } = problemOf({ configPath });
    expect(message.split('\n').map((line) => line.split(' ')[0])).toEqual(['engine', 'memoryMax']);
  });

  it('refuse what they do not know, and name the closest', () => {
    const { message } = problemOf({ environment: { RONDO_PROT: '1' } });
    expect(message).toBe('RONDO_PROT: no such environment variable; the closest is RONDO_PORT');
    const configPath = fileWith({ memory_max: 1 });
    expect(problemOf({ configPath }).message).toMatch(/memory_max .*the closest is memoryMax/);
  });

  it('refuse a send buffer that holds no whole reply', () => {
    const flags = { valueBytesMax: '32MiB', sendBufferBytesMax: '16MiB' };
    expect(problemOf({ flags }).message).toMatch(
      /sendBufferBytesMax: 16 MiB is too small.*33619968/,
    );
  });

  it('take a number of workers, or one less than the cores', () => {
    expect(load({ environment: { RONDO_WORKERS: '3' } }).workers).toBe(3);
    const { workers } = load({ environment: { RONDO_WORKERS: 'auto' } });
    expect(workers).toBe('auto');
    const auto = (cores: number, partitions = 64) => workersOf({ workers, partitions }, cores);
    expect([1, 2, 3, 16, 1000].map((cores) => auto(cores))).toEqual([1, 1, 2, 15, 64]);
    expect([auto(16, 8), auto(1000, 65_536)]).toEqual([8, WORKERS_MAX]);
    expect(workersOf({ workers: 5, partitions: 64 }, 1)).toBe(5);
  });

  it('refuse more workers than partitions', () => {
    const flags = { workers: '8', partitions: '4' };
    expect(problemOf({ flags }).message).toMatch(/workers: 8 are too many.*allowed: 4 or fewer/);
  });

  it('have names in every style', () => {
    expect(flagOf('sendBufferBytesMax')).toBe('--send-buffer-bytes-max');
    expect(variableOf('sendBufferBytesMax')).toBe('RONDO_SEND_BUFFER_BYTES_MAX');
  });
});

describe('sizes', () => {
  it.each([
    ['0', 0],
    ['4096', 4096],
    ['1KiB', 1024],
    ['1 kb', 1000],
    ['1.5MiB', 1.5 * 1024 * 1024],
    ['2G', 2 * 1024 ** 3],
    ['3TiB', 3 * 1024 ** 4],
    ['10b', 10],
  ])('read %s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(['', 'MiB', '-1', '1XiB', '1.3', '1e9', '9999999TiB', '1 2'])('refuse %j', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });

  it('are written with the largest unit', () => {
    expect([0, 1023, 1024, 1536, 4 * 1024 ** 3, 2 ** 50].map(formatSize)).toEqual([
      '0 B',
      '1023 B',
      '1 KiB',
      '1.5 KiB',
      '4 GiB',
      '1024 TiB',
    ]);
  });
});

describe('closest', () => {
  it('finds the name that was meant', () => {
    const names = ['port', 'host', 'partitions', 'memoryMax'];
    expect(closest('prot', names)).toBe('port');
    expect(closest('hots', names)).toBe('host');
    expect(closest('MEMORYMAX', names)).toBe('memoryMax');
    expect(closest('partition', names)).toBe('partitions');
  });
});
