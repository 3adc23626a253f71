// What the data commands share: the options that say which node and how, one connection without
// retries (a person waits), and errors that say what to do next.

import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { type ConnectOptions, connect, type Rondo, RondoError } from '../../ts/client/index.js';
import { messageOf } from '../errors.js';
import { parseDuration } from './data-duration.js';
import { EXIT_FAILURE, EXIT_USAGE } from './exit.js';

const URL_DEFAULT = 'ws://127.0.0.1:7400';
const TIMEOUT_DEFAULT = '5s';

export interface DataOptions {
  readonly url: string;
  readonly tokenFile?: string;
  /** Milliseconds. */
  readonly timeout: number;
  readonly json?: true;
}

/** Standard output takes nothing more: a full disk, mostly. */
class OutputError extends Error {}

/** The command line is wrong in a way that commander cannot see. */
export class UsageError extends Error {}

export function addDataOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--url <URL>', 'the node to talk to').env('RONDO_URL').default(URL_DEFAULT),
    )
    .option('--token-file <PATH>', 'file whose first line is the token (otherwise RONDO_TOKEN)')
    .addOption(
      new Option('--timeout <DURATION>', 'how long to wait for an answer')
        .argParser(parseDuration)
        .default(parseDuration(TIMEOUT_DEFAULT), TIMEOUT_DEFAULT),
    )
    .option('--json', 'print JSON, errors too');
}

export interface ClientUse<P> {
  /** What the connection is to be beside what the options say. */
  readonly connect?: Pick<ConnectOptions, 'retry' | 'session'>;
  /** Gives up waiting for a connection. */
  readonly signal?: AbortSignal;
  /** A wrong command line is its to find: no node is needed to see it. */
  readonly prepare?: () => P | Promise<P>;
}

/**
 * Runs `use` with a connected client and with what `prepare` makes before; prints what fails and sets
 * the exit code. Unless told otherwise there is no session, which only holds things, and no second try.
 */
export async function withClient<P = undefined>(
  options: DataOptions,
  use: (rondo: Rondo, prepared: P) => Promise<void>,
  { connect: wanted = {}, signal, prepare }: ClientUse<P> = {},
): Promise<void> {
  process.stdout.on('error', (error) => endWithoutReader(error, options));
  try {
    const prepared = (await prepare?.()) as P;
    const rondo = connect({
      url: options.url,
      token: tokenOf(options),
      timeoutMs: options.timeout,
      retry: { attempts: 0 },
      session: false,
      // Few operations are not worth a connection to each worker: the node passes them on.
      routing: 'single',
      ...wanted,
    });
    try {
      await rondo.ready({ signal });
      await use(rondo, prepared);
    } finally {
      await rondo.close();
    }
  } catch (error) {
    // Who stops a command knows that it ends.
    if (signal?.aborted === true && error instanceof RondoError && error.code === 'CANCELLED') {
      return;
    }
    process.exitCode = report(error, options);
  }
}

/** Who reads a pipe may stop early, as in `rondo scan | head`: the rest has nowhere to go. */
function endWithoutReader(error: NodeJS.ErrnoException, options: DataOptions): void {
  if (error.code === 'EPIPE') process.exit();
  process.exit(
    report(new OutputError(`cannot write: ${error.message}`, { cause: error }), options),
  );
}

/** Prints that a key does not exist, and sets the exit code for scripts. */
export function reportNotFound(key: string, options: DataOptions): void {
  const error = new RondoError('NOT_FOUND', `${JSON.stringify(key)} does not exist`);
  process.exitCode = report(error, options);
}

function tokenOf(options: DataOptions): string {
  if (options.tokenFile === undefined) return process.env.RONDO_TOKEN ?? '';
  let text: string;
  try {
    text = readFileSync(options.tokenFile, 'utf8');
  } catch (cause) {
    const why = messageOf(cause);
    throw new UsageError(`--token-file ${options.tokenFile} can't be read: ${why}`, { cause });
  }
  const lines = text.split('\n').map((line) => line.trim());
  const token = lines.find((line) => line !== '' && !line.startsWith('#'));
  if (token === undefined) throw new UsageError(`--token-file ${options.tokenFile} has no token`);
  return token;
}

const USAGE_CODES: readonly string[] = [
  'INVALID_ARGUMENT',
  'INVALID_KEY',
  'KEY_TOO_LONG',
  'TTL_OUT_OF_RANGE',
];

function report(error: unknown, options: DataOptions): number {
  const isKnown = error instanceof RondoError;
  const code = isKnown ? error.code : ownCode(error);
  const message = isKnown ? adviseOn(error, options) : messageOf(error);
  if (options.json === true) {
    const { retryable = false, maybeApplied = false } = isKnown ? error : {};
    const line = { event: 'error', code, message, retryable, maybeApplied };
    process.stderr.write(`${JSON.stringify(line)}\n`);
  } else {
    const stack = code === 'INTERNAL' && error instanceof Error ? `\n${error.stack}` : '';
    process.stderr.write(`rondo: ${message} [${code}]${stack}\n`);
  }
  return code === 'USAGE' || USAGE_CODES.includes(code) ? EXIT_USAGE : EXIT_FAILURE;
}

function ownCode(error: unknown): string {
  if (error instanceof UsageError) return 'USAGE';
  return error instanceof OutputError ? 'OUTPUT_FAILED' : 'INTERNAL';
}

function adviseOn(error: RondoError, { url }: DataOptions): string {
  if (
    error.code === 'OFFLINE' ||
    (error.code === 'TIMEOUT' && /welcome|no connection/.test(error.message))
  ) {
    const why = rootMessage(error);
    return (
      `no node answers at ${url} (${why}). Start one with "npm start" or "rondo serve", ` +
      'or name another with --url or RONDO_URL'
    );
  }
  if (error.code === 'UNAUTHENTICATED') {
    return `${url} did not accept the token; pass --token-file or set RONDO_TOKEN`;
  }
  return error.message;
}

/** What the network said, at the end of the chain of causes. */
function rootMessage(error: Error): string {
  let root = error;
  while (root.cause instanceof Error && root.cause.message !== '') root = root.cause;
  return root.message;
}
