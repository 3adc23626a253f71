// How keys, values and facts are shown: as text for people, as JSON for programs.

import type { Entry } from '../../ts/client/index.js';

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text that the bytes are, or undefined where they are not UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    // The decoder's only complaint: these bytes are not UTF-8.
    return undefined;
  }
}

/** An entry as JSON: `value` where it is text, otherwise `valueBase64`. Without ttl: null. */
export function entryJson(entry: Entry<Uint8Array | undefined>): Record<string, unknown> {
  const { key, value, revision, ttlMs = null } = entry;
  if (value === undefined) return { key, revision, ttlMs };
  const text = textOf(value);
  if (text !== undefined) return { key, value: text, revision, ttlMs };
  return { key, valueBase64: Buffer.from(value).toString('base64'), revision, ttlMs };
}

/** A value on one line: control characters escaped, what is not text by its size. */
export function valueLine(value: Uint8Array): string {
  const text = textOf(value);
  if (text === undefined) return `(${value.length} bytes that are not text)`;
  return escapeControls(text);
}

/** Keeps a line one line, and terminals safe from what others have stored. */
export function escapeControls(text: string): string {
  return text.replace(/[\p{Cc}\\]/gu, (character) => {
    if (character === '\\') return '\\\\';
    if (character === '\n') return '\\n';
    if (character === '\t') return '\\t';
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}
