// The request writer encodes the texts of many operations together; whatever they hold, its frames
// have the bytes of each encoded by itself.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Columns } from '../../ts/wire/columns.js';
import { checkRequest, RequestWriter } from '../../ts/wire/request.js';
import { Status } from '../../ts/wire/status.js';

type Field = string | Uint8Array;

const EMPTY = new Uint8Array(0);

const bytes = fc.uint8Array({ maxLength: 30 });
const ascii = fc.string({ maxLength: 20 });
// Halves of surrogate pairs side by side must not become a character.
const halves = fc.constantFrom('\ud83c', '\udf89', '\ud83c\udf89', 'a\ud83c', '\udf89b', '');
const fields: fc.Arbitrary<Field> = fc.oneof(
  { weight: 4, arbitrary: ascii },
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  halves,
  bytes,
);
const operations = fc.array(fc.tuple(fields, fc.option(fields, { nil: undefined })), {
  minLength: 1,
  maxLength: 40,
});

describe('the request writer', () => {
  it('writes texts as if each were encoded by itself', () => {
    const writer = new RequestWriter();
    const plain = new RequestWriter();
    fc.assert(
      fc.property(operations, (list) => {
        const frame = write(writer, list);
        const encoded = list.map(([key, value]): [Field, Field | undefined] => [
          encode(key),
          value === undefined ? undefined : encode(value),
        ]);
        expect(Buffer.compare(frame, write(plain, encoded))).toBe(0);
        const view = new DataView(frame.buffer);
        expect(checkRequest(view, 2 ** 22, new Columns())).toBe(Status.Ok);
      }),
      { numRuns: 500 },
    );
  });

  it('writes runs of any length', () => {
    for (const letter of ['x', 'ü', '€']) {
      const list = Array.from({ length: 300 }, (_, index): [Field, Field] => [
        `key/${index}`,
        letter.repeat(index * 5),
      ]);
      const encoded = list.map(([key, value]): [Field, Field] => [encode(key), encode(value)]);
      const [frame, expected] = [list, encoded].map((it) => write(new RequestWriter(), it));
      expect(Buffer.compare(frame ?? EMPTY, expected ?? EMPTY)).toBe(0);
      expect(frame?.length).toBeGreaterThan(200_000);
    }
  });
});

function write(writer: RequestWriter, list: [Field, Field | undefined][]): Uint8Array<ArrayBuffer> {
  writer.begin(list.length);
  list.forEach(([key, value], index) => {
    writer.operation(index, 1, 2, key, value, 3, 2 ** 40, 5);
  });
  return writer.finish().slice();
}

function encode(field: Field): Uint8Array {
  return typeof field === 'string' ? new TextEncoder().encode(field) : field;
}
