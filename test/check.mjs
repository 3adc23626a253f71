// What CI runs, as one command: `npm test`, the same as `npm run check`. The steps run in order and
// the first failure ends the run. The last line has the counts of the runners (Vitest and cargo), plus
// one for a step that failed or was skipped.
//
// Without cargo the Rust steps are skipped with that reason; RONDO_REQUIRE_NATIVE=1 makes any such
// skip a failure. `--from <step>` begins at a step, for work on one of them.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
const nativeRequired = process.env.RONDO_REQUIRE_NATIVE === '1';
const live = process.stdout.isTTY === true && process.env.CI === undefined;
const scratch = mkdtempSync(join(tmpdir(), 'rondo-check-'));
const vitestReport = join(scratch, 'vitest.json');
/** Lines of a failure's message that are shown again at the end. */
const FAILURE_LINES_MAX = 12;
const counts = { passed: 0, failed: 0, skipped: 0 };

const node = process.execPath;
const steps = [
  { name: 'addon', run: [node, 'core-native/build.mjs', '--optional'], after: requireAddon },
  { name: 'types', run: [node, bin('typescript', 'tsc')] },
  {
    name: 'lint',
    run: [node, bin('@biomejs/biome', 'biome'), 'check', '--error-on-warnings', '.'],
  },
  { name: 'generated code', run: [node, 'ts/wire/generate.mjs', '--check'] },
  { name: 'rustfmt', run: ['cargo', 'fmt', '--all', '--check'], skip: noRust },
  {
    name: 'clippy',
    run: ['cargo', 'clippy', '--locked', '--workspace', '--all-targets', '--', '-D', 'warnings'],
    skip: noRust,
  },
  {
    name: 'Rust tests',
    run: ['cargo', 'test', '--locked', '--workspace', '--no-fail-fast'],
    skip: noRust,
    count: countCargo,
  },
  {
    name: 'orders of threads',
    run: ['cargo', 'test', '--locked', '-p', 'rondo-orders'],
    // A folder of its own: other flags would build everything anew each time.
    env: { RUSTFLAGS: '--cfg loom', CARGO_TARGET_DIR: join(root, 'target', 'loom') },
    skip: noRust,
    count: countCargo,
  },
  {
    name: 'tests',
    run: [
      node,
      bin('vitest', 'vitest'),
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${vitestReport}`,
    ],
    show: true,
    count: countVitest,
  },
];

const from = process.argv.indexOf('--from');
const first = from < 0 ? 0 : steps.findIndex((step) => step.name === process.argv[from + 1]);
if (first < 0) {
  console.error(`--from takes one of: ${steps.map((step) => step.name).join(', ')}`);
  process.exit(2);
}

const started = Date.now();
let failedStep;
for (const [index, step] of steps.entries()) {
  if (index < first) continue;
  const label = `[${index + 1}/${steps.length}] ${step.name}`;
  const reason = step.skip?.();
  if (reason !== undefined) {
    const verdict = nativeRequired ? 'FAILED' : 'skipped';
    console.log(`${label}: ${verdict}, ${reason}`);
    counts[nativeRequired ? 'failed' : 'skipped']++;
    if (!nativeRequired) continue;
    failedStep = step.name;
    break;
  }
  const { ok, output, seconds } = await execute(label, step);
  const counted = step.count?.(output) ?? 0;
  const problem = ok ? step.after?.() : `see ${step.show ? 'above' : 'its output above'}`;
  if (problem === undefined) {
    console.log(`${label}: ok (${seconds} s)`);
    continue;
  }
  if (counted === 0) counts.failed++;
  console.log(`${label}: FAILED after ${seconds} s, ${problem}`);
  failedStep = step.name;
  break;
}

rmSync(scratch, { recursive: true, force: true });
const total = ((Date.now() - started) / 1000).toFixed(0);
console.log(
  failedStep === undefined ? `\nAll steps passed in ${total} s.` : `\nFailed: ${failedStep}.`,
);
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(failedStep === undefined && counts.failed === 0 ? 0 : 1);

/** Runs a step; its output is shown as it comes (`show`), or in full when it fails. */
function execute(label, step) {
  const begun = Date.now();
  const seconds = () => ((Date.now() - begun) / 1000).toFixed(1);
  const [command, ...args] = step.run;
  if (!live || step.show) console.log(`${label} ...`);
  const ticker =
    live && !step.show
      ? setInterval(() => process.stdout.write(`\r${label} ... ${seconds()} s `), 200)
      : undefined;
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, CARGO_TERM_COLOR: 'never', RUST_BACKTRACE: '0', ...step.env },
      stdio: ['ignore', step.show ? 'inherit' : 'pipe', step.show ? 'inherit' : 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    }
    let done = false;
    const end = (ok) => {
      if (done) return;
      done = true;
      clearInterval(ticker);
      if (ticker !== undefined) process.stdout.write('\r\x1b[K');
      if (!ok && !step.show) process.stdout.write(output.endsWith('\n') ? output : `${output}\n`);
      resolve({ ok, output, seconds: seconds() });
    };
    child.on('error', (error) => {
      output += `${command}: ${error.message}\n`;
      end(false);
    });
    child.on('close', (status) => end(status === 0));
  });
}

function noRust() {
  const cargo = spawnSync('cargo', ['--version'], { encoding: 'utf8' });
  if (cargo.error !== undefined || cargo.status !== 0) return 'cargo (Rust) is not installed';
  const addon = addonReport();
  return addon.built ? undefined : addon.reason;
}

function requireAddon() {
  const addon = addonReport();
  if (addon.built) return undefined;
  if (nativeRequired) return `RONDO_REQUIRE_NATIVE=1 and there is no addon: ${addon.reason}`;
  console.log(`The tests of the native engine will be skipped: ${addon.reason}`);
  return undefined;
}

function addonReport() {
  const file = join(root, 'core-native', 'addon.json');
  if (!existsSync(file)) return { built: false, reason: 'core-native/build.mjs has not run' };
  return JSON.parse(readFileSync(file, 'utf8'));
}

/** Adds the figures of every `test result:` line; returns how many failures it found. */
function countCargo(output) {
  let failures = 0;
  const line = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm;
  for (const [, passed, failed, ignored] of output.matchAll(line)) {
    counts.passed += Number(passed);
    counts.failed += Number(failed);
    counts.skipped += Number(ignored);
    failures += Number(failed);
  }
  return failures;
}

/** Returns how many failures there are, a file that could not be loaded being one. */
function countVitest() {
  if (!existsSync(vitestReport)) return 0;
  const report = JSON.parse(readFileSync(vitestReport, 'utf8'));
  listFailures(report);
  const broken = report.testResults.filter(
    (file) =>
      file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  ).length;
  counts.passed += report.numPassedTests;
  counts.failed += report.numFailedTests + broken;
  counts.skipped += report.numPendingTests + report.numTodoTests;
  return report.numFailedTests + broken;
}

/** Names what failed once more, at the end of a long output, with the first lines of each reason. */
function listFailures({ testResults }) {
  for (const { name, status, message, assertionResults } of testResults) {
    if (status !== 'failed') continue;
    const file = relative(root, name);
    const failed = assertionResults.filter((test) => test.status === 'failed');
    if (failed.length === 0) console.log(`failed: ${file}: ${headOf(message)}`);
    for (const { fullName, failureMessages } of failed) {
      console.log(`failed: ${file}: ${fullName}: ${headOf(failureMessages.join('\n'))}`);
    }
  }
}

function headOf(message) {
  return message.split('\n').slice(0, FAILURE_LINES_MAX).join('\n  ');
}

/** The script behind a command of an installed package. */
function bin(name, command) {
  const manifest = join(root, 'node_modules', name, 'package.json');
  if (!existsSync(manifest)) {
    console.error(`${name} is not installed. Run: npm ci`);
    process.exit(2);
  }
  const { bin } = require(manifest);
  return join(dirname(manifest), typeof bin === 'string' ? bin : bin[command]);
}
