// Rules about files: import direction, size, no stray marks. They are tests so that CI holds them.

import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const LINES_MAX = 400;

/** Files above LINES_MAX, and why each may be. */
const LONG: Record<string, string> = {
  'ts/engine/ts-engine.ts': 'one class, read side by side with core-native/src/engine.rs',
};

/** What each layer may import besides itself and packages. */
const ALLOWED: Record<string, readonly string[]> = {
  'ts/wire': [],
  'ts/shared': ['ts/wire'],
  'ts/client': ['ts/wire'],
  'ts/engine': ['ts/wire', 'ts/shared'],
  node: ['ts/engine', 'ts/shared', 'ts/wire', 'ts/client'],
};
/** Layers that run in browsers as well. */
const PORTABLE = ['ts/wire', 'ts/client'];

interface Source {
  readonly path: string;
  readonly text: string;
}

function sources(folder: string, extensions: readonly string[]): Source[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && extensions.some((end) => entry.name.endsWith(end)))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !file.includes(`${sep}generated${sep}`))
    .map((file) => ({
      path: relative(root, file).split(sep).join('/'),
      text: readFileSync(file, 'utf8'),
    }));
}

const code = [...sources('ts', ['.ts']), ...sources('node', ['.ts'])];
const tests = sources('test', ['.ts', '.mjs']);
const everything = [
  ...code,
  ...tests,
  ...sources('bench', ['.ts', '.mjs']),
  ...sources('core-native/src', ['.rs']),
];

function layerOf(path: string): string {
  const layer = Object.keys(ALLOWED).find((name) => path.startsWith(`${name}/`));
  if (layer === undefined) throw new Error(`${path} is in no layer`);
  return layer;
}

/** What a file imports, types included: packages as they are, files as paths from the root. */
function importsOf({ path, text }: Source): string[] {
  const found = text.matchAll(/(?:\bfrom|\bimport|\bimport\()\s*'([^']+)'/g);
  return Array.from(found, ([, target]) => target as string).map((target) =>
    target.startsWith('.') ? join(dirname(path), target).split(sep).join('/') : target,
  );
}

/** The faults of import direction of a file. */
function wrongImports(source: Source): string[] {
  const layer = layerOf(source.path);
  const allowed = ALLOWED[layer] ?? [];
  return importsOf(source)
    .filter((target) => /^(ts|node|bench|test|core-native)\//.test(target))
    .filter((target) => ![layer, ...allowed].some((name) => target.startsWith(`${name}/`)))
    .map((target) => `${source.path} imports ${target}`);
}

function nodeOnlyImports(source: Source): string[] {
  return importsOf(source)
    .filter((target) => target.startsWith('node:') || builtinModules.includes(target))
    .map((target) => `${source.path} imports ${target}`);
}

/** Marks of work that is not finished, or of a test run narrowed and not widened again. */
function strayMarks({ path, text }: Source): string[] {
  const marks = [
    /\bTODO\b(?! ?\(?#\d+)/,
    /\bFIXME\b/,
    /\b(?:it|test|describe)\.only\b/,
    /\bas any\b/,
  ];
  return text
    .split('\n')
    .flatMap((line, index) =>
      marks.some((mark) => mark.test(line)) ? [`${path}:${index + 1}: ${line.trim()}`] : [],
    );
}

describe('files', () => {
  it('are found', () => {
    expect(code.length).toBeGreaterThan(20);
    expect(everything.length).toBeGreaterThan(50);
  });

  it('import in one direction only', () => {
    expect(code.flatMap(wrongImports)).toEqual([]);
  });

  it('in client and wire import nothing of Node', () => {
    const portable = code.filter(({ path }) => PORTABLE.includes(layerOf(path)));
    expect(portable.flatMap(nodeOnlyImports)).toEqual([]);
    const globals = portable.filter(({ text }) =>
      /\b(?:Buffer\.|process\.|__dirname|require\()/.test(text),
    );
    expect(globals.map(({ path }) => path)).toEqual([]);
  });

  it('leave the addon to the loader', () => {
    const touching = code.filter(({ text }) => /createRequire|\.node\b['"`]/.test(text));
    const inEngine = touching.filter(({ path }) => path.startsWith('ts/'));
    expect(inEngine.map(({ path }) => path)).toEqual(['ts/engine/load.ts']);
    const named = [...code].filter(({ text }) => text.includes('rondo-core.'));
    expect(named.map(({ path }) => path)).toEqual(['ts/engine/load.ts']);
  });

  it(`have ${LINES_MAX} lines at most, or a reason`, () => {
    const long = code.filter(({ text }) => text.split('\n').length - 1 > LINES_MAX);
    expect(long.map(({ path }) => path).filter((path) => LONG[path] === undefined)).toEqual([]);
    // Half as many again are a second concept, whatever the reason.
    const longest = long.filter(({ text }) => text.split('\n').length > LINES_MAX * 1.5);
    expect(longest.map(({ path }) => path)).toEqual([]);
  });

  it('open with what they are', () => {
    const silent = code.filter(({ text }) => !/^(?:#!.*\n)?(?:\/\/|\/\*)/.test(text));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  it('have no mark of unfinished work', () => {
    const self = 'test/tidy.test.ts';
    const marked = everything.filter(({ path }) => path !== self).flatMap(strayMarks);
    expect(marked).toEqual([]);
  });
});

describe('the lock file', () => {
  interface Locked {
    readonly optionalDependencies?: Record<string, string>;
    readonly resolved?: string;
  }
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, Locked>;
  };

  it('lists the binaries of every platform, without which `npm ci` refuses it', () => {
    // An `npm install` against a registry that lacks some of them leaves them out without a word.
    const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter(
        (name) =>
          packages[`node_modules/${name}`] === undefined &&
          packages[`${path}/node_modules/${name}`] === undefined,
      ),
    );
    expect(missing).toEqual([]);
  });

  it('names no registry', () => {
    const resolved = Object.keys(packages).filter((path) => packages[path]?.resolved !== undefined);
    expect(resolved).toEqual([]);
  });
});

describe('the rules see a fault', () => {
  const source = (path: string, text: string): Source => ({ path, text });

  it('of direction', () => {
    const up = source('ts/wire/a.ts', "import { x } from '../engine/engine.js';");
    expect(wrongImports(up)).toEqual(['ts/wire/a.ts imports ts/engine/engine.js']);
    const side = source('ts/shared/a.ts', "export type { X } from '../engine/engine.js';");
    expect(wrongImports(side)).toHaveLength(1);
    const dynamic = source('node/a.ts', "await import('../test/drive/drive.js');");
    expect(wrongImports(dynamic)).toHaveLength(1);
    const right = source('ts/client/a.ts', "import { x } from '../wire/layout.js';");
    expect(wrongImports(right)).toEqual([]);
  });

  it('of platform', () => {
    expect(nodeOnlyImports(source('ts/client/a.ts', "import fs from 'fs';"))).toHaveLength(1);
    expect(nodeOnlyImports(source('ts/client/a.ts', "import 'node:net';"))).toHaveLength(1);
    expect(nodeOnlyImports(source('ts/client/a.ts', "import { B } from 'flatbuffers';"))).toEqual(
      [],
    );
  });

  it('of marks', () => {
    const text = ['// TODO later', '// TODO(#12) later', "it.only('x')", 'y as any', '// FIXME'];
    expect(strayMarks(source('a.ts', text.join('\n')))).toHaveLength(4);
  });
});
