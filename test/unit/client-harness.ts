// What the tests of the client share: a scripted node and clients that are closed after each test.

import { afterEach } from 'vitest';
import type { Seams } from '../../ts/client/client.js';
import { type ConnectOptions, Rondo, type RondoError } from '../../ts/client/index.js';
import { type Script, ScriptedNode } from './client-scripted-node.js';

const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export async function scriptedNode(script?: Script): Promise<ScriptedNode> {
  const node = await ScriptedNode.start(script);
  cleanups.push(() => node.stop());
  return node;
}

/** A client with short delays between tries; closed after the test. */
export function client(
  url: string,
  options: Partial<ConnectOptions> = {},
  seams: Seams = {},
): Rondo {
  const retry = { delayMsMin: 5, delayMsMax: 20, ...options.retry };
  const rondo = new Rondo({ url, ...options, retry }, seams);
  cleanups.push(() => rondo.close());
  return rondo;
}

/** What of an error callers decide by. */
export interface Verdict {
  readonly code: string;
  readonly retryable: boolean;
  readonly maybeApplied: boolean;
}

/** The error that the promise fails with; throws where it does not fail. */
export async function failure(promise: Promise<unknown>): Promise<RondoError> {
  try {
    await promise;
  } catch (error) {
    return error as RondoError;
  }
  throw new Error('it did not fail');
}

export async function verdict(promise: Promise<unknown>): Promise<Verdict> {
  const { code, retryable, maybeApplied } = await failure(promise);
  return { code, retryable, maybeApplied };
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits until `holds`; fails after two seconds. */
export async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`never came true: ${holds}`);
    await delay(2);
  }
}

/** Waits for the client's next status of this kind. */
export async function state(rondo: Rondo, wanted: string): Promise<void> {
  for await (const status of rondo.status()) if (status.state === wanted) return;
}
