// Sessions and locks over raw connections: what a client of them says, and a log in memory whose progress the
// test decides.

import { MemoryLog } from '../../node/log/memory-log.js';
import { openState, type State, type StateOptions } from '../../node/state.js';
import { OperationCode } from '../../ts/wire/generated/rondo/wire/operation-code.js';
import type { HelloFrame, WelcomeFrame } from '../../ts/wire/hello.js';
import { WAIT_FOREVER } from '../../ts/wire/layout.js';
import { Fixture, frameOf, type OperationInput, type RawClient, tick } from './server-fixture.js';

/** Milliseconds in which a frame that may leave does. */
const PATIENCE_MS = 60;

export const TTL_MS = 10_000;

export interface SessionClient {
  readonly client: RawClient;
  readonly welcome: WelcomeFrame;
}

/** A connection with a new session. */
export async function withSession(fixture: Fixture, sessionTtlMs = TTL_MS): Promise<SessionClient> {
  const client = await fixture.connect();
  return { client, welcome: await client.helloWith({ sessionTtlMs }) };
}

/** A new connection that resumes the session of a welcome. */
export async function resumed(
  fixture: Fixture,
  { session, sessionSecret }: WelcomeFrame,
  more: Partial<HelloFrame> = {},
): Promise<SessionClient> {
  const client = await fixture.connect();
  return { client, welcome: await client.helloWith({ session, sessionSecret, ...more }) };
}

export function lock(id: number, key: string, more: Partial<OperationInput> = {}): OperationInput {
  return { code: OperationCode.Lock, key, id, limit: WAIT_FOREVER, ...more };
}

export function unlock(id: number, key: string, token: number): OperationInput {
  return { code: OperationCode.Unlock, key, id, expectedRevision: token };
}

export function send(client: RawClient, ...operations: OperationInput[]): void {
  client.socket.send(frameOf(operations));
}

/** `'nothing'` where the promise is not settled in the time that it would need. */
export function patiently<V>(promise: Promise<V>): Promise<V | 'nothing'> {
  return Promise.race([promise, tick(PATIENCE_MS).then(() => 'nothing' as const)]);
}

/** A node whose log becomes durable so many simulated milliseconds after a flush, as `log` says. */
export async function startWithLog(
  settings: Parameters<typeof Fixture.start>[0],
  isWaiting = true,
): Promise<{ fixture: Fixture; log: MemoryLog }> {
  let log: MemoryLog | undefined;
  const open = async (options: StateOptions): Promise<State> => {
    const state = await openState(options);
    const { clock, events } = options;
    const made = new MemoryLog({ partitions: options.settings.partitions, clock, events });
    log = made;
    return { ...state, log, isWaiting, close: () => made.close().then(() => state.close()) };
  };
  const fixture = await Fixture.start(settings, { openState: open });
  return { fixture, log: log as unknown as MemoryLog };
}
