// Builds the addon `core-native/rondo-core.<platform>.node` with @napi-rs/cli, and leaves beside it
// `addon.json`, which says whether there is an addon and why: the loader, `rondo doctor` and the tests
// show that reason. The addon is fresh when the hash of its sources is the recorded one, so that a
// checkout that only moves file times builds nothing.
//
// (no option)  builds when the addon is missing or stale; any failure is an error.
// --optional   a machine that cannot build (no cargo, too old, no linker, crates out of reach) is told
//              so in one line and the exit code is 0. Code that does not compile stays an error.
// --force      builds whether or not the addon is fresh.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = dirname(fileURLToPath(import.meta.url));
const root = dirname(folder);
const report = join(folder, 'addon.json');
const optional = process.argv.includes('--optional');
const force = process.argv.includes('--force');
const GET_RUST = 'install Rust from https://rustup.rs';

/** The machine cannot build the addon, though the code may well be right; and what would help. */
class CannotBuild extends Error {
  constructor(reason, remedy) {
    super(reason);
    this.howTo = `To get the addon, ${remedy} and run: npm run build:native`;
  }
}

const sourcesHash = hashSources();
const present = addonFile();
if (!force && present !== undefined && isFresh()) process.exit(0);

try {
  const rust = checkToolchain();
  fetchCrates(rust.host);
  const file = build();
  writeReport({ built: true, file, reason: `built with Rust ${rust.version}`, sourcesHash });
  console.log(`addon: ${relative(root, join(folder, file))} is ready`);
} catch (error) {
  if (!(error instanceof CannotBuild)) {
    if (present === undefined) {
      writeReport({ built: false, reason: 'the addon did not compile', sourcesHash });
    }
    console.error(`addon: ${error.message}`);
    process.exit(1);
  }
  if (present === undefined) {
    writeReport({ built: false, reason: error.message, sourcesHash });
    console.error(
      `addon: not built, ${error.message}. The TypeScript engine is used. ${error.howTo}`,
    );
  } else {
    // What is there stays: it may be a prebuilt one, and the loader checks that it fits.
    const reason = `${present} is kept although its sources have changed: ${error.message}`;
    writeReport({ built: true, file: present, reason, sourcesHash: recordedHash() });
    console.error(`addon: ${reason}. ${error.howTo}`);
  }
  process.exit(optional ? 0 : 1);
}

function checkToolchain() {
  const cargo = run('cargo', ['--version']);
  if (cargo.error !== undefined || cargo.status !== 0) {
    throw new CannotBuild('cargo (Rust) is not installed', GET_RUST);
  }
  const rustc = run('rustc', ['-vV']);
  const version = /^release: (\S+)/m.exec(rustc.stdout ?? '')?.[1];
  const host = /^host: (\S+)/m.exec(rustc.stdout ?? '')?.[1];
  if (version === undefined || host === undefined) {
    throw new CannotBuild('rustc does not run', GET_RUST);
  }
  const least = /^rust-version = "([\d.]+)"/m.exec(
    readFileSync(join(root, 'Cargo.toml'), 'utf8'),
  )?.[1];
  if (least !== undefined && isOlder(version, least)) {
    throw new CannotBuild(`Rust ${version} is too old, ${least} or newer is needed`, GET_RUST);
  }
  return { version, host };
}

/** From cargo's cache where it has all, so that a machine without network builds too. */
function fetchCrates(host) {
  const fetch = ['fetch', '--locked', '--target', host];
  if (run('cargo', [...fetch, '--offline']).status === 0) return;
  console.log('addon: fetching crates');
  const online = run('cargo', fetch, {
    env: { CARGO_NET_RETRY: '1', CARGO_HTTP_TIMEOUT: '30', ...process.env },
  });
  if (online.status === 0) return;
  const output = online.stderr ?? '';
  if (/lock file .* needs to be updated|failed to parse (manifest|lock file)/.test(output)) {
    throw new Error(`cargo fetch failed\n${output}`);
  }
  const cause = /^(?:error|Caused by).*$/m.exec(output)?.[0] ?? `exit code ${online.status}`;
  throw new CannotBuild(`its crates could not be fetched (${cause.trim()})`, 'go online');
}

/** Returns the name of the addon's file. */
function build() {
  const napi = napiCli();
  // Built aside and renamed into place: a process that has the old addon mapped keeps its bytes.
  const aside = join(root, 'target', 'addon');
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { recursive: true });
  console.log('addon: compiling (about a minute the first time)');
  const result = run(process.execPath, [
    napi,
    'build',
    '--platform',
    '--release',
    '--no-js',
    '--manifest-path',
    join(folder, 'Cargo.toml'),
    '--package-json-path',
    join(root, 'package.json'),
    '--output-dir',
    aside,
    '--',
    '--locked',
  ]);
  const output = `${result.stdout ?? ''}${result.stderr ?? ''}`;
  if (result.status !== 0) {
    process.stderr.write(output);
    if (/linker `[^`]+` not found/.test(output)) {
      throw new CannotBuild('there is no C linker', 'install one (Debian: build-essential)');
    }
    throw new Error('compilation failed, see above');
  }
  const file = readdirSync(aside).find((name) => name.endsWith('.node'));
  if (file === undefined) throw new Error(`napi build left no .node file\n${output}`);
  renameSync(join(aside, file), join(folder, file));
  return file;
}

function napiCli() {
  const require = createRequire(import.meta.url);
  try {
    const manifest = require.resolve('@napi-rs/cli/package.json');
    return join(dirname(manifest), require(manifest).bin.napi);
  } catch (cause) {
    if (cause.code !== 'MODULE_NOT_FOUND') throw cause;
    throw new CannotBuild('the development dependencies are not installed', 'run npm ci');
  }
}

function run(command, args, options = {}) {
  return spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 256 * 1024 * 1024,
    ...options,
  });
}

/** The addon of this platform, by its name, or undefined. */
function addonFile() {
  const prefix = `rondo-core.${process.platform}-${process.arch}`;
  return readdirSync(folder).find((name) => name.startsWith(prefix) && name.endsWith('.node'));
}

function isFresh() {
  return recordedHash() === sourcesHash;
}

function recordedHash() {
  if (!existsSync(report)) return '';
  try {
    return JSON.parse(readFileSync(report, 'utf8')).sourcesHash ?? '';
  } catch {
    return ''; // Cut short by a stopped build: it counts as stale and is written anew.
  }
}

function writeReport(content) {
  const aside = `${report}.${process.pid}`;
  writeFileSync(aside, `${JSON.stringify(content, null, 2)}\n`);
  renameSync(aside, report);
}

function hashSources() {
  const files = [join(root, 'Cargo.toml'), join(root, 'Cargo.lock')];
  for (const name of ['Cargo.toml', 'build.rs']) files.push(join(folder, name));
  for (const entry of readdirSync(join(folder, 'src'), { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) files.push(join(entry.parentPath, entry.name));
  }
  const hash = createHash('sha256');
  for (const file of files.sort()) {
    const name = relative(root, file).split(sep).join('/');
    hash.update(`${name}\0`).update(readFileSync(file)).update('\0');
  }
  return hash.digest('hex');
}

function isOlder(version, least) {
  const [have, want] = [version, least].map((text) =>
    text.split('.').map((part) => parseInt(part, 10)),
  );
  for (let index = 0; index < want.length; index++) {
    if (have[index] !== want[index]) return have[index] < want[index];
  }
  return false;
}
