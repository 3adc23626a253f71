// The version of this package, from its package.json: two folders up from the compiled file, one up
// from the source.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const VERSION = readVersion(dirname(fileURLToPath(import.meta.url)));

function readVersion(folder: string): string {
  for (let at = folder; ; at = dirname(at)) {
    const manifest = readManifest(join(at, 'package.json'));
    if (manifest?.name === 'rondo' && manifest.version) return manifest.version;
    if (dirname(at) === at) return 'unknown';
  }
}

function readManifest(path: string): { name?: string; version?: string } | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as { name?: string; version?: string };
  } catch {
    // Most folders on the way up have no manifest.
    return undefined;
  }
}
