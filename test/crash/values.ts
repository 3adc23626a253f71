// Values that name themselves: each is written once in a run, so that a read tells which write it saw.
// Some are large, so that segments of the log fill up; of those the history keeps the name alone, and
// a read checks the rest.

const FILLER = 'rondo.crash.test.';

/** The value that is stored for a name: itself, or itself and filler up to `length`. */
export function contentOf(name: string, length = 0): string {
  if (length <= name.length + 1) return name;
  return `${name}|${FILLER.repeat(Math.ceil(length / FILLER.length))}`.slice(0, length);
}

/** The name of a stored value; what is not a value of `contentOf` is told as damaged. */
export function nameOf(value: string): string {
  const end = value.indexOf('|');
  if (end < 0) return value;
  const name = value.slice(0, end);
  return contentOf(name, value.length) === value ? name : `damaged: ${value.slice(0, 80)}`;
}
