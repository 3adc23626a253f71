// How values become bytes and back. A codec works on text or on bytes; text is the faster form,
// since the client writes it straight into the frame and decodes all texts of a reply at once.

import { RondoError } from './errors.js';
import { hasLoneSurrogate } from './key.js';

export interface TextCodec<T> {
  readonly form: 'text';
  encode(value: T): string;
  decode(text: string): T;
}

/** What `encode` returns is copied by the call; what `decode` gets belongs to the value it makes. */
export interface BytesCodec<T> {
  readonly form: 'bytes';
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array<ArrayBuffer>): T;
}

export type Codec<T> = TextCodec<T> | BytesCodec<T>;

/** Values as JSON text: the default. */
export const json: TextCodec<unknown> = {
  form: 'text',
  encode(value) {
    const text: string | undefined = JSON.stringify(value);
    if (text === undefined) {
      throw new RondoError(
        'INVALID_ARGUMENT',
        `JSON has no form for a value of type ${typeof value}`,
      );
    }
    return text;
  },
  decode: (value) => JSON.parse(value) as unknown,
};

/** Values as strings, stored as UTF-8. */
export const text: TextCodec<string> = {
  form: 'text',
  encode(value) {
    if (typeof value !== 'string') {
      throw new RondoError(
        'INVALID_ARGUMENT',
        `the text codec takes a string, not ${typeof value}`,
      );
    }
    // UTF-8 has no form for it: what is read back would be another text.
    if (hasLoneSurrogate(value)) {
      throw new RondoError('INVALID_ARGUMENT', 'the text holds half a surrogate pair; put bytes');
    }
    return value;
  },
  decode: (value) => value,
};

/** Values as bytes. */
export const bytes: BytesCodec<Uint8Array> = {
  form: 'bytes',
  encode(value) {
    if (!(value instanceof Uint8Array)) {
      throw new RondoError(
        'INVALID_ARGUMENT',
        `the bytes codec takes a Uint8Array, not ${typeof value}`,
      );
    }
    return value;
  },
  decode: (value) => value,
};
