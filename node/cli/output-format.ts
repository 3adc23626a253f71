// The two forms of what commands print: a table for people, JSON for programs.

import { type Command, Option } from 'commander';

export interface FormatOptions {
  readonly format?: 'json' | 'table';
  readonly json?: true;
}

export function addFormatOption(command: Command): Command {
  return command.addOption(
    new Option('--format <FORMAT>', 'json is the same as --json').choices(['table', 'json']),
  );
}

export function asJson({ format, json }: FormatOptions): boolean {
  return json === true || format === 'json';
}

/** Waits while the reader of a pipe is slower than the node. */
export async function writeLine(line: string): Promise<void> {
  if (process.stdout.write(`${line}\n`)) return;
  await new Promise((resolve) => process.stdout.once('drain', resolve));
}

/** Rows under headings, in columns two blanks apart. Columns in `figures` end in one line. */
export function tableLines(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  figures: readonly string[],
): string[] {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const lineOf = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        if (figures.includes(headings[column] ?? '')) return cell.padStart(width);
        return column === cells.length - 1 ? cell : cell.padEnd(width);
      })
      .join('  ');
  return [lineOf(headings), ...rows.map(lineOf)];
}
