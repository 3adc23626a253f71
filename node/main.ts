#!/usr/bin/env node
// The command `rondo`: a node to run, and tools to look at one and use it.

import { Command, CommanderError } from 'commander';
import { addDataCommands } from './cli/data-commands.js';
import { EXIT_USAGE } from './cli/exit.js';
import { VERSION } from './version.js';

const EXAMPLES = `
Examples:
  $ rondo serve                 run a node on ws://127.0.0.1:7400
  $ rondo put plan/1 hello      write a key
  $ rondo get plan/1            read it
  $ rondo scan plan/            list what begins so
  $ rondo watch plan/           print what happens to it
  $ rondo lock deploy -- make   run a command while holding a lock
  $ rondo locks                 show who holds and who waits
  $ rondo doctor                check this machine
  $ rondo ring a b c            show who would have which partition
  $ rondo log verify            check the files of its data directory
  $ rondo backup /backup/monday copy them while the node runs

Exit codes: 0 done, 1 failed, 2 wrong usage or settings.`;

const program = new Command('rondo')
  .description('Shared state for AI agents over one WebSocket.')
  .version(VERSION)
  .addHelpText('after', EXAMPLES)
  .showHelpAfterError('(rondo --help lists what there is)')
  .exitOverride()
  .commandsGroup('Use a node:');

addDataCommands(program);
// What a node is made of takes longer to load than a `get` takes to run: it stays out of its way.
const isDataCommand = program.commands.some((command) => command.name() === process.argv[2]);
if (!isDataCommand) {
  const [{ addServeCommand }, { addDoctorCommand }, { addRingCommand }, { addLogCommands }] =
    await Promise.all([
      import('./cli/serve.js'),
      import('./cli/doctor.js'),
      import('./cli/ring-command.js'),
      import('./cli/log-commands.js'),
    ]);
  program.commandsGroup('Run a node:');
  addServeCommand(program);
  addDoctorCommand(program);
  addRingCommand(program);
  program.commandsGroup('Keep its data:');
  addLogCommands(program);
}

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  // commander has printed it; help and version come this way too, with exit code 0.
  process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
}
