// A ring as text: partitions around a circle, each with the letter of its member, and who has how many.

import type { Ring } from '../../ts/engine/ring.js';
import { tableLines } from './output-format.js';

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
/** Rows of the circle; a column is half as wide as a row is high. */
const ROWS = 17;
const COLUMNS = 35;
/** Members that are listed one by one. */
const MEMBERS_SHOWN_MAX = 40;
const BAR_COLUMNS = 24;
/** Colours of the 256 that terminals have, told apart on dark and on light. */
const COLOURS = [33, 208, 71, 170, 37, 203, 143, 105, 31, 178, 131, 66];

/** Lines to print. */
export function ringPicture(ring: Ring, hasColour: boolean): string[] {
  const paint = (member: number, text: string) => {
    return hasColour ? `\u001b[38;5;${COLOURS[member % COLOURS.length]}m${text}\u001b[0m` : text;
  };
  return [...circleLines(ring, paint), '', ...memberLines(ring, paint), '', summary(ring)];
}

type Paint = (member: number, text: string) => string;

function circleLines(ring: Ring, paint: Paint): string[] {
  const cells = Array.from({ length: ROWS }, () => new Array<string>(COLUMNS).fill(' '));
  const [middleRow, middleColumn] = [(ROWS - 1) / 2, (COLUMNS - 1) / 2];
  // As many steps as there are places on the circle, so that none is left out.
  const steps = 4 * COLUMNS;
  for (let step = 0; step < steps; step++) {
    const angle = (step / steps) * 2 * Math.PI;
    const row = Math.round(middleRow - Math.cos(angle) * middleRow);
    const column = Math.round(middleColumn + Math.sin(angle) * middleColumn);
    const member = ring.owners[Math.floor((step / steps) * ring.partitions)] as number;
    (cells[row] as string[])[column] = paint(member, letterOf(member));
  }
  const label = [`${ring.partitions} partitions`, `${ring.names.length} members`];
  for (const [line, text] of label.entries()) {
    const from = Math.round(middleColumn - text.length / 2);
    for (const [at, letter] of [...text].entries()) {
      (cells[Math.floor(middleRow) + line] as string[])[from + at] = letter;
    }
  }
  return cells.map((row) => `  ${row.join('')}`.trimEnd());
}

function memberLines(ring: Ring, paint: Paint): string[] {
  const loads = ring.loads();
  const most = Math.max(...loads, 1);
  const rows = ring.names.slice(0, MEMBERS_SHOWN_MAX).map((name, member) => {
    const load = loads[member] as number;
    const bar = '█'.repeat(Math.round((load / most) * BAR_COLUMNS));
    const share = `${((100 * load) / ring.partitions).toFixed(1)} %`;
    const isFull = load === ring.capacities[member];
    return [
      letterOf(member),
      name,
      String(load),
      String(ring.capacities[member]),
      share,
      `${paint(member, bar)}${isFull ? ' full' : ''}`,
    ];
  });
  const headings = ['', 'member', 'partitions', 'at most', 'share', ''];
  const lines = tableLines(headings, rows, ['partitions', 'at most', 'share']);
  const more = ring.names.length - rows.length;
  return (more > 0 ? [...lines, `... and ${more} more`] : lines).map((line) => line.trimEnd());
}

function summary(ring: Ring): string {
  const loads = ring.loads();
  const fair = ring.partitions / ring.names.length;
  const figures = [Math.min(...loads), Math.max(...loads), fair.toFixed(1)];
  return `Least ${figures[0]}, most ${figures[1]} partitions a member; evenly spread ${figures[2]}.`;
}

function letterOf(member: number): string {
  return LETTERS[member % LETTERS.length] as string;
}
