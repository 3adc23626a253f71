// What `npm ci` runs at its end: builds the addon where this machine can, compiles TypeScript, and puts
// the command where `npx rondo` finds it, as an installation of the package would. With the development
// dependencies left out there is no compiler; that is said and is no failure.

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
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
linkCommand();

/** On Windows a link takes rights that few have; `npx` then makes one of its own, slower. */
function linkCommand() {
  if (process.platform === 'win32') return;
  const link = join(root, 'node_modules', '.bin', 'rondo');
  chmodSync(join(root, 'dist', 'node', 'main.js'), 0o755);
  mkdirSync(dirname(link), { recursive: true });
  rmSync(link, { force: true });
  symlinkSync(join('..', '..', 'dist', 'node', 'main.js'), link);
}

function run(...args) {
  const { status, error } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
