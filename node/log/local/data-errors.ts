// The errors of a data directory. Each names the file, what is wrong with it and what to do next.

import { dirname } from 'node:path';
import { LogError } from '../log.js';

/** Bytes that were durable are missing or changed. */
export class DataDamage extends LogError {
  constructor(
    readonly file: string,
    /** Byte of the file at which the damage was met. */
    readonly offset: number,
    readonly expected: string,
    readonly found: string,
    options?: { cause?: unknown },
  ) {
    super(
      'DATA_DAMAGED',
      `${file} is damaged at byte ${offset}: expected ${expected}, found ${found}. Nothing was changed. ${adviceFor(dataDirectoryOf(file))}`,
      options,
    );
  }
}

function adviceFor(directory: string): string {
  return `To see all of the damage: rondo log verify --data-dir ${directory}. To mend it: rondo log repair --data-dir ${directory} --from-backup <backup>`;
}

/** The data directory of a segment or snapshot file: three levels up. */
function dataDirectoryOf(file: string): string {
  return dirname(dirname(dirname(file)));
}

/** `action` as in "read", "create". */
export function unreadable(path: string, action: string, cause: unknown): LogError {
  return new LogError(
    'DATA_UNREADABLE',
    `Cannot ${action} ${path}. Check that the disk is mounted and has room, and that the directory belongs to the user that runs rondo`,
    { cause },
  );
}

/** Runs an I/O step; what it throws becomes DATA_UNREADABLE. */
export async function reading<T>(path: string, action: string, step: Promise<T>): Promise<T> {
  try {
    return await step;
  } catch (cause) {
    throw cause instanceof LogError ? cause : unreadable(path, action, cause);
  }
}

/** The `code` of a system error, such as ENOENT. */
export function systemCode(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}
