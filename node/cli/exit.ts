// How the process ends, and what the operator reads when it ends badly.

import { EngineError } from '../../ts/engine/engine.js';
import { RingError } from '../../ts/engine/ring.js';
import { messageOf, NodeError } from '../errors.js';
import { LogError } from '../log/log.js';

export const EXIT_FAILURE = 1;
/** The command line or a setting is wrong. */
export const EXIT_USAGE = 2;

const USAGE_CODES: readonly string[] = [
  'CONFIG_INVALID',
  'CONFIG_UNREADABLE',
  'TOKEN_FILE_INVALID',
  'HOST_NOT_PROTECTED',
];

/** Prints the error on standard error (as JSON where asked for) and returns the exit code. */
export function reportError(error: unknown, asJson: boolean): number {
  const isKnown =
    error instanceof NodeError ||
    error instanceof EngineError ||
    error instanceof LogError ||
    error instanceof RingError;
  const code = isKnown ? error.code : 'INTERNAL';
  const message = messageOf(error);
  if (asJson) {
    process.stderr.write(`${JSON.stringify({ event: 'error', code, message })}\n`);
  } else {
    const stack = !isKnown && error instanceof Error ? `\n${error.stack}` : '';
    process.stderr.write(`rondo: ${message} [${code}]${stack}\n`);
  }
  return USAGE_CODES.includes(code) || error instanceof RingError ? EXIT_USAGE : EXIT_FAILURE;
}
