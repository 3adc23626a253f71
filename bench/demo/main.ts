// `npm run demo`: a node and eight agent processes that count the words of the installed packages'
// README files together, in shared keys that they all contend for. At the end the shared result is
// held against a plain count by one process: if a single update was lost or doubled, the demo fails.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import cliProgress from 'cli-progress';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { connect, type Rondo } from '../../ts/client/index.js';
import type { AgentReport } from './agent.js';
import { addCounts, countFile, differences, readmePaths } from './corpus.js';
import { type NodeProcess, startNode, stopProcess } from './node-process.js';
import { FILES, filesDone, readCounts, TOTAL, type Total } from './shared.js';

const MODULES = fileURLToPath(new URL('../../../node_modules/', import.meta.url));
const AGENT = fileURLToPath(new URL('./agent.js', import.meta.url));
const PROGRESS_INTERVAL_MS = 100;

interface Options {
  readonly agents: number;
  readonly files?: number;
  readonly engine: string;
  readonly json?: true;
}

interface Outcome {
  readonly engine: string;
  readonly transport: string;
  readonly agents: number;
  /** Agents that were killed; the others have done their work. What they had counted is not told. */
  readonly agentsKilled: number;
  readonly files: number;
  readonly words: number;
  readonly distinctWords: number;
  readonly shared: { readonly seconds: number; readonly operationsPerSecond: number };
  readonly plain: { readonly seconds: number };
  readonly operations: number;
  readonly updates: number;
  /** Rounds of compare-and-set that met another agent's change and were done again. */
  readonly contendedRounds: number;
  readonly differences: number;
  readonly top: readonly (readonly [string, number])[];
}

/** What must be ended, whatever happens: each stops one process, by its id. */
const running = new Set<() => Promise<void>>();
let isInterrupted = false;

const program = new Command('demo')
  .description('agents that count words together, and a check that no update was lost')
  .option('--agents <N>', 'agent processes', parseCount, 8)
  .option('--files <N>', 'README files at most (default: all)', parseCount)
  .addOption(
    new Option('--engine <NAME>', 'engine of the node')
      .choices(['auto', 'native', 'ts'])
      .default('auto'),
  )
  .option('--json', 'print the outcome as JSON')
  .exitOverride();

for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.once(signal, () => {
    isInterrupted = true;
    void stopAll().finally(() => process.exit(exitCode));
  });
}

try {
  program.parse();
  const options = program.opts<Options>();
  const outcome = await run(options);
  print(outcome, options);
  if (outcome.differences > 0) process.exitCode = 1;
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else if (!isInterrupted) {
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
} finally {
  await stopAll();
}

async function stopAll(): Promise<void> {
  // Agents were started after the node, and end before it.
  for (const stop of [...running].reverse()) await stop();
  running.clear();
}

async function run(options: Options): Promise<Outcome> {
  const paths = readmePaths(MODULES).slice(0, options.files);
  if (paths.length === 0) throw new Error('no README file found in node_modules; run npm ci');

  const node = await startNode(options.engine);
  running.add(node.stop);
  const rondo = connect({ url: node.url });
  const stopClient = (): Promise<void> => rondo.close();
  running.add(stopClient);
  await rondo.kv.putMany(paths.map((path, index) => [FILES + path, index] as const));

  const operationsBefore = await operationsOf(node);
  const began = performance.now();
  const stopProgress = showProgress(rondo, paths.length, options.json === true);
  const reports = await runAgents(node, options.agents).finally(stopProgress);
  const shared = await readCounts(rondo);
  const sharedSeconds = (performance.now() - began) / 1000;
  const operations = (await operationsOf(node)) - operationsBefore;
  const total = await rondo.kv.get<Total>(TOTAL);

  const plainBegan = performance.now();
  const plain = new Map<string, number>();
  for (const path of paths) addCounts(plain, await countFile(MODULES, path));
  const plainSeconds = (performance.now() - plainBegan) / 1000;

  const words = [...plain.values()].reduce((sum, count) => sum + count, 0);
  const wrong = differences(shared, plain).length;
  const isTotalWrong = total?.words !== words || total.files.length !== paths.length;
  const sum = (pick: (report: AgentReport) => number): number =>
    reports.reduce((before, report) => before + pick(report), 0);
  return {
    engine: node.engine,
    transport: node.transport,
    agents: options.agents,
    agentsKilled: options.agents - reports.length,
    files: paths.length,
    words,
    distinctWords: plain.size,
    shared: { seconds: sharedSeconds, operationsPerSecond: operations / sharedSeconds },
    plain: { seconds: plainSeconds },
    operations,
    updates: sum((report) => report.updates),
    contendedRounds: sum((report) => report.rounds - report.updates),
    differences: wrong + (isTotalWrong ? 1 : 0),
    top: [...shared].sort((a, b) => b[1] - a[1]).slice(0, 5),
  };
}

/**
 * Runs all agents to their end. Fails as soon as one fails; one that is killed is none that fails, for
 * its claims run out and the others take over, as long as there is one.
 */
async function runAgents(node: NodeProcess, agents: number): Promise<AgentReport[]> {
  const reports = await Promise.all(
    Array.from({ length: agents }, (_, index) => {
      const child = fork(AGENT, [node.url, String(index), String(agents), MODULES]);
      const stop = (): Promise<void> => stopProcess(child);
      running.add(stop);
      return new Promise<AgentReport | undefined>((resolve, reject) => {
        let report: AgentReport | undefined;
        child.once('message', (message) => {
          report = message as AgentReport;
        });
        child.once('error', reject);
        child.once('exit', (code, signal) => {
          running.delete(stop);
          if (code === 0 && report !== undefined) resolve(report);
          else if (signal === null) reject(new Error(`agent ${index} failed (exit code ${code})`));
          else {
            process.stderr.write(`agent ${index} was ended by ${signal}; the others go on\n`);
            resolve(undefined);
          }
        });
      });
    }),
  );
  const ended = reports.filter((report) => report !== undefined);
  if (ended.length === 0) throw new Error('every agent was killed');
  return ended;
}

/** Shows how many files are done, as the shared keys tell it. Returns what ends the showing. */
function showProgress(rondo: Rondo, files: number, isQuiet: boolean): () => void {
  if (isQuiet) return () => undefined;
  const isTerminal = process.stderr.isTTY === true;
  const bar = new cliProgress.SingleBar(
    { format: 'counting {bar} {value}/{total} files, {eta_formatted} left', hideCursor: true },
    cliProgress.Presets.shades_classic,
  );
  if (isTerminal) bar.start(files, 0);
  let shown = 0;
  const show = (done: number): void => {
    if (isTerminal) bar.update(done);
    else if (done > shown && (done >= files || done - shown >= files / 4)) {
      process.stderr.write(`${done} of ${files} files counted\n`);
      shown = done;
    }
  };
  const look = async (): Promise<void> => show(await filesDone(rondo));
  const timer = setInterval(() => {
    look().catch((error: unknown) => {
      // What matters fails elsewhere, too: the agents use the same node.
      process.stderr.write(`progress: ${String(error)}\n`);
    });
  }, PROGRESS_INTERVAL_MS);
  return () => {
    clearInterval(timer);
    if (shown < files) show(files);
    if (isTerminal) bar.stop();
  };
}

/** Operations that the node has executed, by its own count. */
async function operationsOf(node: NodeProcess): Promise<number> {
  const response = await fetch(`${node.url.replace(/^ws/, 'http')}/metrics`);
  const text = await response.text();
  let sum = 0;
  for (const [, value] of text.matchAll(/^rondo_operations_total(?:\{[^}]*\})? (\S+)$/gm)) {
    sum += Number(value);
  }
  return sum;
}

function print(outcome: Outcome, options: Options): void {
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify(outcome)}\n`);
    return;
  }
  const { shared, plain } = outcome;
  const number = (value: number): string => Math.round(value).toLocaleString('en');
  const killed = outcome.agentsKilled === 0 ? '' : ` (${outcome.agentsKilled} killed)`;
  const verdict =
    outcome.differences === 0
      ? 'equal: no update was lost or doubled'
      : `DIFFERENT in ${number(outcome.differences)} counts`;
  process.stdout.write(
    [
      '',
      `node       engine ${outcome.engine}, transport ${outcome.transport}`,
      `input      ${number(outcome.files)} files, ${number(outcome.words)} words, ` +
        `${number(outcome.distinctWords)} of them distinct`,
      `shared     ${outcome.agents} agents${killed}, ${shared.seconds.toFixed(2)} s, ` +
        `${number(outcome.operations)} operations, ${number(shared.operationsPerSecond)}/s`,
      `           ${number(outcome.updates)} updates by compare-and-set, ` +
        `${number(outcome.contendedRounds)} rounds lost to another agent and done again`,
      `plain      1 process, ${plain.seconds.toFixed(2)} s`,
      `most used  ${outcome.top.map(([word, count]) => `${word} ${number(count)}`).join(', ')}`,
      `results    ${verdict}`,
      '',
    ].join('\n'),
  );
}

function parseCount(text: string): number {
  const count = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (count < 1) throw new InvalidArgumentError('A whole number of at least 1.');
  return count;
}
