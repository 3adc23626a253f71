// `rondo serve`, with the seam that has one of its workers die: over the channel to the process that started it,
// and as often as that likes. What is the command's beside that (signals, a banner) it has not.

import { Command } from 'commander';
import { addSettingsOptions, settingsOf } from '../../node/cli/settings-options.js';
import { createLogger } from '../../node/logger.js';
import { startServer } from '../../node/server.js';

/** What the parent says. */
export interface Order {
  readonly worker: number;
}

async function serve(options: Readonly<Record<string, unknown>>): Promise<void> {
  const settings = settingsOf(options);
  const server = await startServer({
    settings,
    logger: createLogger(settings),
    supervisor: { deathsMax: Number.POSITIVE_INFINITY },
    onFatal: (error) => {
      console.error(error);
      process.exit(1);
    },
  });
  process.on('message', ({ worker }: Order) => server.killWorker(worker, 'throw'));
  // Whoever started it is gone.
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  process.on('SIGTERM', () => void server.stop().then(() => process.exit(0)));
  const { url, port, engine } = server;
  process.stdout.write(`${JSON.stringify({ event: 'ready', url, port, engine: engine.kind })}\n`);
}

const program = new Command();
addSettingsOptions(program.command('serve').option('--json')).action(serve);
await program.parseAsync();
