// How batches and records are printed by `rondo log dump`: as text for people, as JSON lines for programs.

import { RECORD_PUT, type RecordReader } from '../../ts/engine/records.js';
import type { StoredBatch } from '../log/local/batch-stream.js';
import type { DumpEnd, DumpReader } from '../log/local/dump.js';
import { kindName, nameOf } from '../log/local/record-facts.js';
import { escapeControls, textOf } from './data-format.js';
import { fieldsOf, nameFieldOf, wordsOf } from './log-dump-facts.js';
import { isoTime } from './log-options.js';

/** Characters of a value that are shown, or twice the bytes where it is no text. */
const VALUE_WIDTH = 80;

/** Characters of the longest kind. */
const KIND_WIDTH = 11;

export interface DumpFormat {
  readonly keysOnly?: true;
  readonly full?: true;
}

/** Each answers lines. */
export interface DumpPrinter {
  file(reader: DumpReader): string[];
  batch(batch: StoredBatch, hasRecords: boolean): string[];
  record(batch: StoredBatch, record: RecordReader): string[];
  malformed(batch: StoredBatch): string[];
  unused(reader: DumpReader): string[];
  end(reader: DumpReader, end: DumpEnd): string[];
}

export class DumpText implements DumpPrinter {
  constructor(private readonly format: DumpFormat) {}

  file({ kind, path, header, bytes }: DumpReader): string[] {
    const facts =
      header === undefined
        ? 'its header cannot be read'
        : 'segment' in header
          ? `segment ${header.segment}, epoch ${header.epoch}`
          : `covers segments up to ${header.lastSegment}, batches up to ${header.lastBatch}`;
    return [`${kind} ${path}: ${facts}, ${bytes} bytes`];
  }

  batch({ header, offset, body }: StoredBatch, hasRecords: boolean): string[] {
    const { number, records, time } = header;
    const what = hasRecords
      ? records === 0
        ? 'mark'
        : `${records} records`
      : number === 0
        ? `revisions of ${records} partitions`
        : 'end of the snapshot';
    return [
      `batch ${number}  ${isoTime(time)}  ${what}, ${body.length} bytes, at byte ${offset}`.trim(),
    ];
  }

  record(_batch: StoredBatch, record: RecordReader): string[] {
    const { kind, partition, revision, time } = record;
    const name = nameOf(record);
    const text = textOf(name);
    const parts = [
      `  ${kindName(kind).padEnd(KIND_WIDTH)}`,
      isoTime(time),
      `partition ${partition}`,
      `revision ${revision}`,
      text === undefined ? `0x${hex(name)}` : escapeControls(text),
      ...wordsOf(record),
    ];
    if (kind === RECORD_PUT && this.format.keysOnly !== true) {
      parts.push(`= ${this.value(record.value)}`);
    }
    return [parts.join('  ')];
  }

  malformed({ header }: StoredBatch): string[] {
    return [`  what follows in batch ${header.number} are no valid records`];
  }

  unused(): string[] {
    return ['not used since older batches were written to it'];
  }

  end({ path }: DumpReader, { kind, offset, later }: DumpEnd): string[] {
    if (kind === 'end') return [];
    const behind =
      later === undefined ? '' : `; batch ${later.number} stands whole at byte ${later.offset}`;
    return [`stops at byte ${offset} of ${path}: no whole batch that goes on is there${behind}`];
  }

  private value(value: Uint8Array): string {
    const text = printable(value);
    if (text !== undefined) {
      const line = JSON.stringify(text);
      return this.format.full === true || line.length <= VALUE_WIDTH
        ? line
        : `${line.slice(0, VALUE_WIDTH)}… (${value.length} bytes)`;
    }
    const shown = this.format.full === true ? value : value.subarray(0, VALUE_WIDTH / 2);
    return `0x${hex(shown)}${shown.length < value.length ? `… (${value.length} bytes)` : ''}`;
  }
}

export class DumpJson implements DumpPrinter {
  constructor(private readonly format: DumpFormat) {}

  file({ kind, path, header, bytes }: DumpReader): string[] {
    const logId = header?.logId.toString(16).padStart(16, '0') ?? null;
    const { segment, epoch, lastSegment, lastBatch } = { ...header } as Record<string, unknown>;
    const facts = { logId, segment, epoch, lastSegment, lastBatch };
    return [JSON.stringify({ type: 'file', file: path, kind, bytes, ...facts })];
  }

  batch({ header, offset, body }: StoredBatch, hasRecords: boolean): string[] {
    const { number, time } = header;
    const records = hasRecords ? header.records : 0;
    const facts = { batch: number, time: isoTime(time) || null, records, bytes: body.length };
    return [JSON.stringify({ type: 'batch', ...facts, offset })];
  }

  record({ header }: StoredBatch, record: RecordReader): string[] {
    const { kind, partition, revision, time } = record;
    return [
      JSON.stringify({
        type: 'record',
        batch: header.number,
        time: isoTime(time) || null,
        kind: kindName(kind),
        partition,
        revision,
        ...named(nameFieldOf(kind), nameOf(record)),
        ...fieldsOf(record),
        ...(kind === RECORD_PUT && this.format.keysOnly !== true
          ? named('value', record.value)
          : {}),
      }),
    ];
  }

  malformed({ header }: StoredBatch): string[] {
    return [JSON.stringify({ type: 'malformed', batch: header.number })];
  }

  unused({ path }: DumpReader): string[] {
    return [JSON.stringify({ type: 'end', file: path, end: 'unused' })];
  }

  end({ path }: DumpReader, { kind, offset, later }: DumpEnd): string[] {
    const end = { type: 'end', file: path, end: kind, offset, later: later ?? null };
    return [JSON.stringify(end)];
  }
}

/** `name` where the bytes are text, otherwise `nameBase64`. */
function named(name: string, bytes: Uint8Array): Record<string, string> {
  const text = textOf(bytes);
  if (text !== undefined) return { [name]: text };
  return { [`${name}Base64`]: Buffer.from(bytes).toString('base64') };
}

/** The text that the bytes are, where a person can read it. */
function printable(bytes: Uint8Array): string | undefined {
  const text = textOf(bytes);
  return text !== undefined && !/[^\P{C}\n\r\t]/u.test(text) ? text : undefined;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
