// What a key must be, checked before anything is sent, with the codes that the node would answer.

import { KEY_BYTES_MAX } from '../wire/limits.js';
import { RondoError } from './errors.js';

/** Bytes that one UTF-16 unit takes in UTF-8 at most. */
export const UTF8_BYTES_PER_UNIT_MAX = 3;

const encoder = new TextEncoder();
const loneSurrogate = /\p{Surrogate}/u;
const mayHoldSurrogate = /[\ud800-\udfff]/;

/** Whether the text is not valid Unicode. */
export function hasLoneSurrogate(text: string): boolean {
  return mayHoldSurrogate.test(text) && loneSurrogate.test(text);
}

/** Why `key` is not one, or undefined. An empty text is accepted where `isPrefix`. */
export function keyError(key: string, isPrefix: boolean): RondoError | undefined {
  if (typeof key !== 'string') {
    return new RondoError('INVALID_KEY', `a key is a string, not ${typeof key}`);
  }
  const { length } = key;
  if (length * UTF8_BYTES_PER_UNIT_MAX > KEY_BYTES_MAX) {
    const size = length > KEY_BYTES_MAX ? length : encoder.encode(key).length;
    if (size > KEY_BYTES_MAX) {
      return new RondoError('KEY_TOO_LONG', `a key is at most ${KEY_BYTES_MAX} bytes of UTF-8`);
    }
  }
  if (length === 0 && !isPrefix) {
    return new RondoError('INVALID_KEY', 'a key has at least one byte');
  }
  if (hasLoneSurrogate(key)) {
    return new RondoError('INVALID_KEY', 'the key holds half a surrogate pair: not valid Unicode');
  }
  return undefined;
}
