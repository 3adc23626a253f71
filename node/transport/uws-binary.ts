// Finds and loads the binary of uWebSockets.js. It is loaded by its file name and not through the
// package's entry, because the packages on the registry answer a binary that does not load with a
// slow imitation and a line on the console; here it has to be known which one runs, and why.

import type { TemplatedApp } from 'uWebSockets.js';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { messageOf, NodeError } from '../errors.js';

/** What the typings of the package leave out. */
export interface NativeApp extends Omit<TemplatedApp, 'listen'> {
  listen(host: string, port: number, options: number, callback: (socket: unknown) => void): void;
  close(): void;
}

export interface UwsBinary {
  App(): NativeApp;
  us_socket_local_port(socket: unknown): number;
  us_listen_socket_close(socket: unknown): void;
  readonly LIBUS_LISTEN_EXCLUSIVE_PORT: number;
  readonly DISABLED: number;
}

export interface UwsFound {
  readonly binary: UwsBinary;
  /** Package and version, as far as they say. */
  readonly source: string;
}

export interface UwsAbsent {
  readonly absent: string;
  readonly cause?: unknown;
}

/**
 * The binary for this platform and Node, or why there is none. A binary that was built for another
 * platform, C library or Node counts as absent; one that is broken throws `NodeError`
 * (`TRANSPORT_BROKEN`).
 *
 * `resolve` finds the package's entry; tests point it elsewhere.
 */
export function loadUws(
  resolve: () => string = () => createRequire(import.meta.url).resolve('uWebSockets.js'),
): UwsFound | UwsAbsent {
  let entry: string;
  try {
    entry = resolve();
  } catch (cause) {
    return { absent: 'the package uWebSockets.js is not installed', cause };
  }
  const file = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
  const folder = dirname(entry);
  // An official install has its binaries beside the entry, the registry's package in `binaries`.
  const candidates = [join(folder, file), join(folder, '..', 'binaries', file)];
  const path = candidates.find((candidate) => existsSync(candidate));
  if (!path) {
    const platform = `${process.platform} ${process.arch}, Node ${process.versions.node}`;
    return { absent: `uWebSockets.js has no binary for ${platform}` };
  }
  try {
    const binary = createRequire(import.meta.url)(path) as UwsBinary;
    const official = path === candidates[0];
    return { binary, source: official ? 'official build' : 'build from the npm registry' };
  } catch (cause) {
    if (isForeign(messageOf(cause))) {
      return {
        absent: `the binary of uWebSockets.js does not fit this system: ${messageOf(cause)}`,
        cause,
      };
    }
    throw new NodeError(
      'TRANSPORT_BROKEN',
      'the binary of uWebSockets.js is there but does not load: reinstall it (npm ci), ' +
        'or start with --transport ws',
      { cause },
    );
  }
}

/** Whether a loading error says that the binary was built for another system. */
function isForeign(message: string): boolean {
  return (
    /GLIBC(XX)?_|ld-linux|ld-musl|libc\.musl/.test(message) ||
    /NODE_MODULE_VERSION|wrong ELF class|incompatible architecture/.test(message) ||
    /not a valid Win32 application/.test(message)
  );
}
