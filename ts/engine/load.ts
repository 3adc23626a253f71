// Chooses the engine, once, at start. This is the only file that imports the addon.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Engine, EngineError, type EngineKind, type EngineOptions } from './engine.js';
import { ADDON_ABI, type NativeAddon, NativeEngine } from './native-engine.js';
import { createTsEngine } from './ts-engine.js';

export type EngineMode = 'auto' | EngineKind;

export interface EngineChoice {
  readonly kind: EngineKind;
  /** Why this engine: for the first log line, `rondo status` and the welcome. */
  readonly reason: string;
  /** For what else of the node has a native half. */
  readonly addon: NativeAddon | undefined;
  create(options: EngineOptions): Engine;
}

/**
 * `native` and `ts` insist on that engine. `auto` takes the native one and falls back only where no
 * addon was built for this platform; an addon that is there but does not load, or was built from
 * other layouts, throws `EngineError` (`ADDON_BROKEN`) with the cause.
 */
export function chooseEngine(mode: EngineMode): EngineChoice {
  if (mode === 'ts')
    return { kind: 'ts', reason: 'chosen', addon: undefined, create: createTsEngine };
  const addon = loadAddon();
  if (addon !== undefined) {
    const reason = mode === 'native' ? 'chosen' : 'addon loaded';
    return { kind: 'native', reason, addon, create: (options) => new NativeEngine(addon, options) };
  }
  const reason = absenceReason();
  if (mode === 'native') {
    throw new EngineError(
      'ADDON_ABSENT',
      `The native engine was asked for, but ${reason}. Build it with: npm run build:native`,
    );
  }
  return { kind: 'ts', reason, addon, create: createTsEngine };
}

const addonFile = `rondo-core.${platformTriple()}.node`;

function loadAddon(): NativeAddon | undefined {
  const path = join(addonFolder(), addonFile);
  if (!existsSync(path)) return undefined;
  let addon: NativeAddon;
  let abi: string;
  try {
    addon = createRequire(import.meta.url)(path) as NativeAddon;
    abi = addon.abi();
  } catch (cause) {
    throw new EngineError(
      'ADDON_BROKEN',
      `The addon ${path} is there but does not load. Rebuild it with: npm run build:native`,
      { cause },
    );
  }
  if (abi !== ADDON_ABI) {
    throw new EngineError(
      'ADDON_BROKEN',
      `The addon ${path} was built from other layouts or limits (${abi}; this code has ${ADDON_ABI}). Rebuild it with: npm run build:native`,
    );
  }
  return addon;
}

/** Why there is no addon, as the build left it. */
function absenceReason(): string {
  const none = `no addon was built for ${platformTriple()}`;
  const note = join(addonFolder(), 'addon.json');
  if (!existsSync(note)) return none;
  const { reason } = JSON.parse(readFileSync(note, 'utf8')) as { reason?: string };
  return reason === undefined || reason === '' ? none : `${none}: ${reason}`;
}

/** `core-native/` of this package, from the source as well as from `dist/`. */
function addonFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'core-native', 'Cargo.toml'))) {
    const parent = dirname(folder);
    if (parent === folder) return folder;
    folder = parent;
  }
  return join(folder, 'core-native');
}

/** The name that the addon's build gives this platform. */
function platformTriple(): string {
  const { platform, arch } = process;
  if (platform === 'linux') return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}`;
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`;
}

function isMusl(): boolean {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return report.header?.glibcVersionRuntime === undefined;
}
