// The first line of a server of this repository, one JSON object with its port.

import { createInterface } from 'node:readline';
import type { Process } from './processes.js';

const DEADLINE_MS_DEFAULT = 15_000;

/** Rejects when the process ends before the line, says something else, or takes too long. */
export async function readyLine(
  server: Process,
  deadlineMs = DEADLINE_MS_DEFAULT,
): Promise<Readonly<Record<string, unknown>>> {
  const { stdout } = server.child;
  if (stdout === null) throw new Error(`${server.name} has no standard output`);
  const lines = createInterface({ input: stdout });
  let timer: NodeJS.Timeout | undefined;
  const first = new Promise<string>((resolve, reject) => {
    lines.once('line', resolve);
    timer = setTimeout(
      () => reject(new Error(`${server.name} is not ready after ${deadlineMs} ms`)),
      deadlineMs,
    );
    void server.ended.then(() => reject(new Error(server.obituary)));
  });
  let line: string;
  try {
    line = await first;
  } finally {
    clearTimeout(timer);
    lines.close();
    stdout.resume();
  }
  const ready: unknown = parse(line);
  if (typeof ready !== 'object' || ready === null || !('port' in ready)) {
    throw new Error(`the first line of ${server.name} is not its ready line: ${line}`);
  }
  return ready as Readonly<Record<string, unknown>>;
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined; // The caller says what the line was instead.
  }
}
