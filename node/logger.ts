// The node's log: pino, JSON lines on standard error, or the same as text for people.

import { isatty } from 'node:tty';
import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino';
import type { Settings } from './config/settings.js';

const COLOURS: Readonly<Record<string, string>> = {
  warn: '\x1b[33m',
  error: '\x1b[31m',
  fatal: '\x1b[31m',
};
const COLOUR_END = '\x1b[0m';
const STDERR = 2;

/** Writes at once, from any thread, so that the last line before its end is not lost. */
export function createLogger(settings: Pick<Settings, 'logLevel' | 'logFormat'>): Logger {
  const { logLevel, logFormat } = settings;
  // Not `process.stderr`, which is a pipe to the main thread in every other one.
  const isTerminal = isatty(STDERR);
  const asText = logFormat === 'text' || (logFormat === 'auto' && isTerminal);
  const output = destination({ fd: STDERR, sync: true });
  return createLoggerTo(asText ? asTextTo(output, isTerminal) : output, logLevel);
}

/** For tests: into any stream, as JSON lines. */
export function createLoggerTo(stream: DestinationStream, level: Settings['logLevel']): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
}

function asTextTo(output: DestinationStream, isColoured: boolean): DestinationStream {
  return {
    write(line) {
      output.write(`${formatLine(JSON.parse(line) as Record<string, unknown>, isColoured)}\n`);
    },
  };
}

/** `12:00:00.000 WARN  message  key=value …` */
export function formatLine(entry: Record<string, unknown>, isColoured: boolean): string {
  const { level, time, msg, ...rest } = entry;
  const label = String(level).toUpperCase().padEnd(5);
  const colour = isColoured ? COLOURS[String(level)] : undefined;
  const fields = Object.entries(rest).map(([name, value]) => {
    const isError = name === 'err' && typeof value === 'object' && value !== null;
    if (isError && 'stack' in value) return `\n${String(value.stack)}`;
    return `${name}=${printable(typeof value === 'string' ? value : JSON.stringify(value))}`;
  });
  const message = printable(String(msg ?? ''));
  const text = [String(time).slice(11, 23), label, message, ...fields].join('  ');
  return colour ? `${colour}${text}${COLOUR_END}` : text;
}

/** Clients choose some of the text: control characters must not reach a terminal. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, (character) => {
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  });
}
