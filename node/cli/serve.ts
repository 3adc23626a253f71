// `rondo serve`: runs a node until it is told to stop.

import type { Command } from 'commander';
import { NodeError } from '../errors.js';
import { LogError } from '../log/log.js';
import { createLogger } from '../logger.js';
import { startServer } from '../server.js';
import { banner } from './banner.js';
import { EXIT_FAILURE, reportError } from './exit.js';
import { RecoveryDisplay } from './recovery-progress.js';
import { addSettingsOptions, settingsOf } from './settings-options.js';
import { restartOnSignal, stopOnSignals } from './signals.js';

const EXAMPLES = `
Examples:
  $ rondo serve
  $ rondo serve --data-dir /var/lib/rondo
  $ rondo serve --durability none
  $ rondo serve --port 0 --json
  $ rondo serve --memory-max 2GiB --engine native
  $ rondo serve --workers 4
  $ rondo serve --host 0.0.0.0 --token-file ./tokens
  $ RONDO_PORT=7500 rondo serve --config ./rondo.json

Flags come before the environment, the environment before the file. What is acknowledged is on disk in
the data directory, and there again after a crash; --durability says otherwise.

SIGTERM and SIGINT stop the node gently, a second one at once. With several workers SIGHUP restarts them, one
after the other, while the others serve. Their number may change from start to start: the partitions in
the data directory are then distributed anew.`;

export function addServeCommand(program: Command): void {
  addSettingsOptions(
    program
      .command('serve')
      .description('run a node')
      .option('--json', 'print one JSON line on standard output when ready'),
  )
    .addHelpText('after', EXAMPLES)
    .action((options: Record<string, unknown>) => serve(options));
}

async function serve(options: Readonly<Record<string, unknown>>): Promise<void> {
  const asJson = options.json === true;
  try {
    const settings = settingsOf(options);
    const logger = createLogger(settings);
    const recovery = new RecoveryDisplay(logger, process.stderr.isTTY && !asJson);
    const server = await startServer({
      settings,
      logger,
      onRecovery: (progress) => recovery.show(progress),
      onFatal: (error) => {
        if (error instanceof LogError) {
          logger.fatal({ event: 'log_failed', err: error }, `the node ends: ${error.message}`);
        } else if (error instanceof NodeError) {
          logger.fatal({ event: 'worker_failed', err: error }, `the node ends: ${error.message}`);
        } else {
          logger.fatal(
            { event: 'invariant_broken', err: error },
            'invariant broken: the node ends',
          );
        }
        // A thread that hangs keeps an orderly exit from coming to its end.
        const isHung = error instanceof NodeError && error.code === 'WORKER_HANGS';
        if (isHung) process.kill(process.pid, 'SIGKILL');
        process.exit(EXIT_FAILURE);
      },
    }).finally(() => recovery.end());
    stopOnSignals(
      logger,
      () => server.stop(),
      () => server.abandon(),
    );
    if (server.workers > 1) restartOnSignal(logger, () => server.restartWorkers());
    if (asJson) {
      const ready = {
        event: 'ready',
        url: server.url,
        port: server.port,
        engine: server.engine.kind,
        engineReason: server.engine.reason,
        transport: server.transport.kind,
        workers: server.workers,
        pid: process.pid,
      };
      process.stdout.write(`${JSON.stringify(ready)}\n`);
    } else {
      process.stdout.write(banner(server, settings));
    }
  } catch (error) {
    process.exitCode = reportError(error, asJson);
  }
}
