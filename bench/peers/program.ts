// The frame of every benchmark that starts processes: what it has started and made is gone at its end,
// however that comes, and the exit code says how it was: 0 done, 1 failed, 2 wrong usage, above 128 a
// signal.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CommanderError } from 'commander';
import { Processes } from './processes.js';

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

export class Program {
  readonly processes = new Processes();
  private readonly folders: string[] = [];

  constructor(readonly name: string) {}

  /** A folder for this run alone, on the file system of temporary files; removed at the end. */
  makeFolder(): string {
    const folder = mkdtempSync(join(tmpdir(), `rondo-${this.name.replace(/:/, '-')}-`));
    this.folders.push(folder);
    return folder;
  }

  /** Ends and removes everything. Rejects with what could not be ended. */
  async close(): Promise<void> {
    try {
      await this.processes.close();
    } finally {
      for (const folder of this.folders.splice(0)) rmSync(folder, { recursive: true, force: true });
    }
  }
}

/** Runs a benchmark from its start to its exit code. `name` stands before what goes wrong. */
export async function runProgram(
  name: string,
  run: (program: Program) => Promise<void>,
): Promise<void> {
  const program = new Program(name);
  const tell = (error: unknown): void => {
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  };
  let isInterrupted = false;
  for (const [signal, exitCode] of Object.entries(EXIT_CODES)) {
    process.on(signal, () => {
      if (isInterrupted) return;
      isInterrupted = true;
      process.stderr.write('\nstopping what was started\n');
      void program
        .close()
        .catch(tell)
        .finally(() => process.exit(exitCode));
    });
  }
  try {
    await run(program);
  } catch (error) {
    // An interrupted run fails because its processes end; that says nothing.
    if (isInterrupted) await new Promise(() => undefined);
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else tell(error);
  } finally {
    await program.close().catch(tell);
  }
}
