// Hellos and limits for tests, which say only what they are about.

import type { HelloFrame, WelcomeFrame } from '../../ts/wire/hello.js';
import { PROTOCOL_VERSION } from '../../ts/wire/layout.js';

/** A hello that asks for no session and has no token, unless `fields` say otherwise. */
export function helloOf(fields: Partial<HelloFrame> = {}): HelloFrame {
  return {
    protocol: PROTOCOL_VERSION,
    token: '',
    client: 'test/1',
    sessionTtlMs: 0,
    session: 0,
    sessionSecret: new Uint8Array(0),
    group: 0,
    ...fields,
  };
}

/** What a welcome tells of a connection without a session, at a node without watches. */
export const NO_SESSION: Pick<
  WelcomeFrame,
  | 'node'
  | 'session'
  | 'sessionTtlMs'
  | 'sessionSecret'
  | 'sessionResumed'
  | 'answersRemembered'
  | 'position'
  | 'sessions'
  | 'watches'
  | 'worker'
  | 'routing'
> = {
  node: 0,
  session: 0,
  sessionTtlMs: 0,
  sessionSecret: new Uint8Array(0),
  sessionResumed: false,
  answersRemembered: false,
  position: 0,
  sessions: 0,
  watches: 0,
  worker: 0,
  routing: new Uint8Array(0),
};
