// Chooses the engine, once, at start. This is the only file that imports the addon.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, parse } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Engine, EngineError, type EngineKind, type EngineOptions } from './engine.js';

export type EngineMode = 'auto' | EngineKind;

export interface EngineChoice {
  readonly kind: EngineKind;
  /** Why this engine: for the first log line, `rondo status` and the welcome. */
  readonly reason: string;
  create(options: EngineOptions): Engine;
}

/**
 * `native` and `ts` insist on that engine. `auto` takes the native one and falls back only where no
 * addon was built for this platform; an addon that is there but does not load, or is of another
 * version, throws `EngineError` (`ADDON_BROKEN`) with the cause.
 */
export function chooseEngine(_mode: EngineMode): EngineChoice {
  throw new EngineError('ADDON_ABSENT', 'placeholder');
}

void existsSync; void createRequire; void dirname; void join; void parse; void fileURLToPath;
