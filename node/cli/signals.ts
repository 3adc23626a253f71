// Stops a node when the operating system asks: gently at the first signal, at once at the second.

import { constants } from 'node:os';
import type { Logger } from 'pino';

/** As long as a timer can be. */
const KEEP_ALIVE_MS = 2 ** 31 - 1;
const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/**
 * Calls `stop` at the first SIGTERM or SIGINT and exits with 0 when it is done. A further signal calls `abandon`
 * and exits with 128 and its number.
 */
export function stopOnSignals(
  logger: Logger,
  stop: () => Promise<void>,
  abandon: () => Promise<void> = () => Promise.resolve(),
): void {
  let isStopping = false;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (isStopping) {
        logger.warn({ event: 'stop_forced', signal }, `${signal} again: ending at once`);
        const exit = () => process.exit(128 + constants.signals[signal]);
        abandon().then(exit, exit);
        return;
      }
      isStopping = true;
      logger.info({ event: 'stopping', signal }, `${signal}: stopping`);
      // What a stop waits for may be nothing but a timer, of which the clock's keep no process alive.
      setInterval(() => undefined, KEEP_ALIVE_MS);
      stop().then(
        () => {
          logger.info({ event: 'stopped' }, 'stopped');
          process.exit(0);
        },
        (error: unknown) => {
          logger.fatal({ event: 'stop_failed', err: error }, 'the stop failed');
          process.exit(1);
        },
      );
    });
  }
}

/** Calls `restart` at a SIGHUP, which otherwise ends a process; not again while it is at work. */
export function restartOnSignal(logger: Logger, restart: () => Promise<void>): void {
  let isRestarting = false;
  process.on('SIGHUP', () => {
    if (isRestarting) {
      logger.warn({ event: 'restart_under_way' }, 'SIGHUP again: the workers are being restarted');
      return;
    }
    isRestarting = true;
    logger.info({ event: 'restarting', signal: 'SIGHUP' }, 'SIGHUP: restarting the workers');
    restart()
      .then(
        () => logger.info({ event: 'restarted' }, 'all workers were restarted'),
        (error: unknown) =>
          logger.error({ event: 'restart_failed', err: error }, 'the restart failed'),
      )
      .finally(() => {
        isRestarting = false;
      });
  });
}
