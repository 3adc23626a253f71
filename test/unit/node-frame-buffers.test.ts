// The memory that frames of other workers are copied to: whole or not, kept or not, never longer than the frame.

import { describe, expect, it } from 'vitest';
import {
  FRAME_BUFFER_BYTES_MAX,
  FRAME_BUFFERS_KEPT_BYTES_MAX,
  REPLY_VIEW_BYTES_MAX,
} from '../../node/limits.js';
import { FrameBuffers } from '../../node/links/frame-buffers.js';

const LENGTHS = [
  0,
  1,
  REPLY_VIEW_BYTES_MAX,
  REPLY_VIEW_BYTES_MAX + 1,
  20_000,
  9_000,
  FRAME_BUFFER_BYTES_MAX,
  FRAME_BUFFER_BYTES_MAX + 1,
  7,
];

function frameOf(length: number): Uint8Array {
  const shared = new Uint8Array(new SharedArrayBuffer(length));
  for (let at = 0; at < length; at += 97) shared[at] = at + length;
  return shared;
}

describe('copies of frames', () => {
  it('have the bytes of the frame and no more, in whatever order lengths come', () => {
    const buffers = new FrameBuffers();
    for (const length of [...LENGTHS, ...LENGTHS.toReversed()]) {
      const frame = frameOf(length);
      const whole = buffers.copyWhole(frame);
      expect(whole.buffer.byteLength, `${length} bytes`).toBe(length);
      expect(Buffer.compare(whole, frame)).toBe(0);
      const copy = buffers.copy(frame);
      expect(copy.buffer).toBeInstanceOf(ArrayBuffer);
      expect(copy.length).toBe(length);
      expect(Buffer.compare(copy, frame)).toBe(0);
      // Each is valid until the next call of its own kind.
      expect(Buffer.compare(whole, frame)).toBe(0);
    }
  });

  it('take the same memory again up to a length', () => {
    const buffers = new FrameBuffers();
    for (const length of [5, 5_000, FRAME_BUFFER_BYTES_MAX]) {
      const frame = frameOf(length);
      expect(buffers.copyWhole(frame)).toBe(buffers.copyWhole(frame));
      expect(buffers.copy(frame).buffer).toBe(buffers.copy(frame).buffer);
    }
    const long = frameOf(FRAME_BUFFER_BYTES_MAX + 1);
    expect(buffers.copyWhole(long)).not.toBe(buffers.copyWhole(long));
    expect(buffers.copy(long).buffer).not.toBe(buffers.copy(long).buffer);
  });

  it('do not keep more than the bound, however many lengths come', () => {
    const buffers = new FrameBuffers();
    const first = buffers.copyWhole(frameOf(1000));
    const lengths = FRAME_BUFFERS_KEPT_BYTES_MAX / FRAME_BUFFER_BYTES_MAX;
    for (let at = 0; at < lengths; at++) buffers.copyWhole(frameOf(FRAME_BUFFER_BYTES_MAX - at));
    expect(buffers.copyWhole(frameOf(1000))).not.toBe(first);
  });
});
