// Writes what was read of a segment or snapshot to a file of its own, as it was: no byte is made anew.

import { type FileHandle, open } from 'node:fs/promises';
import { LOG_COPY_BUFFER_BYTES } from '../../limits.js';
import type { StoredBatch } from './batch-stream.js';
import { reading } from './data-errors.js';
import { BATCH_HEADER_BYTES } from './format.js';

export class FileCopy {
  private buffered: Uint8Array[] = [];
  private bytes = 0;

  private constructor(
    readonly path: string,
    private readonly file: FileHandle,
  ) {}

  /** Makes the file, beginning with these bytes. Throws `DATA_UNREADABLE`, as do the others. */
  static async create(path: string, header: Uint8Array): Promise<FileCopy> {
    const file = await reading(path, 'create', open(path, 'wx', 0o600));
    const writer = new FileCopy(path, file);
    await writer.write(header);
    return writer;
  }

  async append({ body }: StoredBatch): Promise<void> {
    // The header stands before the body in what was read.
    const start = body.byteOffset - BATCH_HEADER_BYTES;
    await this.write(new Uint8Array(body.buffer, start, BATCH_HEADER_BYTES + body.length));
  }

  /** Makes it durable. */
  async close(): Promise<void> {
    await this.flush();
    await reading(this.path, 'write', this.file.sync());
    await this.file.close();
  }

  /** Closes the file, whatever of it was written. */
  async abandon(): Promise<void> {
    await this.file.close().catch(() => {});
  }

  /** The bytes are copied. */
  async write(bytes: Uint8Array): Promise<void> {
    this.buffered.push(bytes.slice());
    this.bytes += bytes.length;
    if (this.bytes >= LOG_COPY_BUFFER_BYTES) await this.flush();
  }

  private async flush(): Promise<void> {
    const bytes = Buffer.concat(this.buffered);
    this.buffered = [];
    this.bytes = 0;
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await reading(this.path, 'write', this.file.write(bytes, at));
      at += bytesWritten;
    }
  }
}
