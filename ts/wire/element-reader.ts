// What readers of replies and pushes share: the elements of a frame one after another, their keys and values
// as views of its blob or as texts.

import { Columns, findColumns } from './columns.js';
import { ELEMENT_KEY_LENGTH, ELEMENT_VALUE_LENGTH } from './layout.js';

/** Blobs up to this many bytes are decoded once for all the texts in them. */
const SHARED_TEXT_BYTES_MAX = 64 * 1024;

// A byte order mark is part of the text, and what is not UTF-8 is not text.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class ElementReader {
  protected view = new DataView(new ArrayBuffer(0));
  private readonly columns = new Columns();
  private keyLength = 0;
  private valueLength = 0;
  private elementAt = 0;
  private elementsEnd = 0;
  private dataAt = 0;
  private dataNext = 0;
  /** The blob as text where it is ASCII, `''` where it is not, undefined until it is asked for. */
  private sharedText: string | undefined;

  constructor(
    private readonly frameKind: number,
    private readonly slot: number,
    private readonly elementBytes: number,
  ) {}

  /** Whether `frame` is a valid one of its kind. */
  open(frame: ArrayBuffer): boolean {
    const view = new DataView(frame);
    const { columns, elementBytes } = this;
    this.view = view;
    this.sharedText = undefined;
    this.elementAt = this.elementsEnd = 0;
    if (!findColumns(view, this.frameKind, this.slot, elementBytes, columns)) return false;

    const elementsEnd = columns.elementsAt + columns.count * elementBytes;
    let bytes = 0;
    for (let at = columns.elementsAt; at < elementsEnd; at += elementBytes) {
      bytes += view.getUint16(at + ELEMENT_KEY_LENGTH, true);
      bytes += view.getUint32(at + ELEMENT_VALUE_LENGTH, true);
    }
    if (bytes !== columns.dataBytes) return false;

    this.elementAt = columns.elementsAt;
    this.elementsEnd = elementsEnd;
    this.dataNext = columns.dataAt;
    return true;
  }

  /** Moves to the next element and returns where it stands in the frame; -1 after the last. */
  protected advance(): number {
    const { view, elementAt: at } = this;
    if (at >= this.elementsEnd) return -1;
    this.keyLength = view.getUint16(at + ELEMENT_KEY_LENGTH, true);
    this.valueLength = view.getUint32(at + ELEMENT_VALUE_LENGTH, true);
    this.dataAt = this.dataNext;
    this.dataNext += this.keyLength + this.valueLength;
    this.elementAt = at + this.elementBytes;
    return at;
  }

  get key(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.view.buffer as ArrayBuffer, this.dataAt, this.keyLength);
  }

  get value(): Uint8Array<ArrayBuffer> {
    const at = this.dataAt + this.keyLength;
    return new Uint8Array(this.view.buffer as ArrayBuffer, at, this.valueLength);
  }

  /** The key as text, or undefined where it is not UTF-8. */
  keyText(): string | undefined {
    return this.textAt(this.dataAt, this.keyLength);
  }

  /** The value as text, or undefined where it is not UTF-8. */
  valueText(): string | undefined {
    return this.textAt(this.dataAt + this.keyLength, this.valueLength);
  }

  /**
   * A decoder costs as much for a small value as for a kilobyte. So the blob of a frame is decoded
   * once, and where it is as many characters as bytes, which only ASCII is, texts are cut from it.
   */
  private textAt(at: number, length: number): string | undefined {
    if (length === 0) return '';
    const { dataAt: blobAt, dataBytes } = this.columns;
    this.sharedText ??= dataBytes > SHARED_TEXT_BYTES_MAX ? '' : this.asciiAt(blobAt, dataBytes);
    if (this.sharedText !== '') {
      return this.sharedText.substring(at - blobAt, at - blobAt + length);
    }
    return this.decodeAt(at, length);
  }

  private asciiAt(at: number, length: number): string {
    const text = this.decodeAt(at, length);
    return text?.length === length ? text : '';
  }

  private decodeAt(at: number, length: number): string | undefined {
    try {
      return decoder.decode(new Uint8Array(this.view.buffer as ArrayBuffer, at, length));
    } catch {
      // The decoder's only complaint: these bytes are not UTF-8.
      return undefined;
    }
  }
}
