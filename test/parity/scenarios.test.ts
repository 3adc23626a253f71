// Every scenario in test/scenarios, by each engine on its own.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createTsEngine } from '../../ts/engine/ts-engine.js';
import { findNative } from '../drive/engines.js';
import { runScenario } from './scenario.js';

const folder = new URL('../scenarios/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.txt'));
const native = findNative();

describe('scenarios: ts', () => {
  it.each(files)('%s', (name) => {
    const url = new URL(name, folder);
    const file = readFileSync(url, 'utf8');
    const ran = runScenario(file, createTsEngine);
    if (process.env.UPDATE_SCENARIOS === '1') writeFileSync(url, ran);
    else expect(ran).toBe(file);
    expect(ran).toContain('\n----\n');
  });

  it('are eight at least', () => expect(files.length).toBeGreaterThanOrEqual(8));
});

describe('scenarios: native', () => {
  if (!('create' in native)) {
    it.skip(native.reason);
    return;
  }
  const { create } = native;
  it.each(files)('%s', (name) => {
    const file = readFileSync(new URL(name, folder), 'utf8');
    expect(runScenario(file, create)).toBe(file);
  });
});
