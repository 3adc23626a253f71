// What `npm ci` runs at its end: builds the addon where this machine can, then compiles TypeScript.
// With the development dependencies left out there is no compiler; that is said and is no failure.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(fileURLToPath(import.meta.url));
const typescript = join(root, 'node_modules', 'typescript', 'package.json');
if (!existsSync(typescript)) {
  const have = existsSync(join(root, 'dist', 'node', 'main.js'));
  console.log(
    have
      ? 'rondo: the development dependencies are left out; dist/ is used as it is'
      : 'rondo: the development dependencies are left out, so dist/ cannot be built: run npm ci without --omit=dev',
  );
  process.exit(0);
}

run(join(root, 'core-native', 'build.mjs'), '--optional');
run(join(dirname(typescript), JSON.parse(readFileSync(typescript, 'utf8')).bin.tsc));

function run(...args) {
  const { status, error } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
