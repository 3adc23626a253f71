// The tokens that clients may authenticate with. Compared as SHA-256 digests, each against all, so
// that the time taken says nothing about a token or its length.

import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { TOKEN_BYTES_MAX } from '../../ts/wire/limits.js';
import { messageOf, NodeError } from '../errors.js';
import { CONFIG_FILE_BYTES_MAX } from '../limits.js';

export class Tokens {
  /** What stands for the tokens where they go to other threads. */
  readonly digests: readonly Uint8Array[];

  /** Of tokens, or of what stands for them. */
  constructor(tokens: readonly (string | Uint8Array)[]) {
    this.digests = tokens.map((token) => (typeof token === 'string' ? digestOf(token) : token));
  }

  get count(): number {
    return this.digests.length;
  }

  /** Whether `token` is one of these. An empty or over-long one never is. */
  accepts(token: string): boolean {
    if (token === '' || Buffer.byteLength(token) > TOKEN_BYTES_MAX) return false;
    const digest = digestOf(token);
    let isKnown = false;
    for (const known of this.digests) {
      if (timingSafeEqual(digest, known)) isKnown = true;
    }
    return isKnown;
  }

  /** Whether an `Authorization` header carries one of these. */
  acceptsHeader(authorization: string | undefined): boolean {
    const match = /^Bearer +(\S+) *$/i.exec(authorization ?? '');
    return match?.[1] !== undefined && this.accepts(match[1]);
  }
}

export interface TokenFile {
  readonly tokens: Tokens;
  /** What the operator should know, such as permissions that are too wide. */
  readonly warnings: readonly string[];
}

/**
 * Reads one token a line; blank lines and those that begin with `#` are passed over. Throws
 * `NodeError` (`TOKEN_FILE_INVALID`) for a file that can't be read, has none, or has one that can't
 * be sent in a header.
 */
export function readTokenFile(path: string): TokenFile {
  let text: string;
  let mode: number;
  try {
    const status = statSync(path);
    if (status.size > CONFIG_FILE_BYTES_MAX) throw new Error('larger than 1 MiB');
    mode = status.mode;
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw invalid(path, `can't be read: ${messageOf(cause)}`, cause);
  }
  const tokens: string[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const token = line.trim();
    if (token === '' || token.startsWith('#')) continue;
    if (!/^[\x21-\x7e]+$/.test(token)) {
      throw invalid(path, `line ${index + 1}: a token is printable ASCII without spaces`);
    }
    if (token.length > TOKEN_BYTES_MAX) {
      throw invalid(path, `line ${index + 1}: a token has ${TOKEN_BYTES_MAX} bytes at most`);
    }
    tokens.push(token);
  }
  if (tokens.length === 0) {
    throw invalid(
      path,
      'holds no token: write one a line, for example from `openssl rand -hex 32`',
    );
  }
  const isShared = process.platform !== 'win32' && (mode & 0o077) !== 0;
  return {
    tokens: new Tokens(tokens),
    warnings: isShared ? [`token file ${path} is open to other users: chmod 600 it`] : [],
  };
}

function invalid(path: string, what: string, cause?: unknown): NodeError {
  return new NodeError('TOKEN_FILE_INVALID', `tokenFile: ${path} ${what}`, { cause });
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
