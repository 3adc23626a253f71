// The system calls that the log makes, so that tests can let each of them fail. `write` and `sync`, on
// the way of every append, call back; the others are rare.

import fs from 'node:fs';

export type Done = (error: NodeJS.ErrnoException | null) => void;
export type Written = (error: NodeJS.ErrnoException | null, written: number) => void;

export interface Files {
  /** `create` fails where the file exists. Returns the descriptor. */
  open(path: string, how: 'create' | 'write' | 'read'): Promise<number>;
  /** Writes `bytes[offset, offset + length)` at `position`; may take fewer bytes. */
  write(
    fd: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
    done: Written,
  ): void;
  /** Makes durable what was written (`fdatasync`). */
  sync(fd: number, done: Done): void;
  /** Reads up to `length` bytes and returns how many there were. */
  read(
    fd: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<number>;
  close(fd: number): Promise<void>;
  /** Length of a file. */
  size(path: string): Promise<number>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Makes durable which names a folder has. */
  syncFolder(path: string): Promise<void>;
}

const HOW = { create: 'wx', write: 'r+', read: 'r' } as const;

export const realFiles: Files = {
  open: (path, how) =>
    new Promise((resolve, reject) => {
      fs.open(path, HOW[how], 0o600, (error, fd) => (error === null ? resolve(fd) : reject(error)));
    }),
  write: (fd, bytes, offset, length, position, done) =>
    fs.write(fd, bytes, offset, length, position, done),
  sync: (fd, done) => fs.fdatasync(fd, done),
  read: (fd, bytes, offset, length, position) =>
    new Promise((resolve, reject) => {
      fs.read(fd, bytes, offset, length, position, (error, count) =>
        error === null ? resolve(count) : reject(error),
      );
    }),
  close: (fd) =>
    new Promise((resolve, reject) => {
      fs.close(fd, (error) => (error ? reject(error) : resolve()));
    }),
  size: async (path) => (await fs.promises.stat(path)).size,
  rename: (from, to) => fs.promises.rename(from, to),
  unlink: (path) => fs.promises.unlink(path),
  async syncFolder(path) {
    // Windows has no such call, and keeps names by itself.
    if (process.platform === 'win32') return;
    const folder = await fs.promises.open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  },
};

/** Writes all of `bytes`, however few each call takes. */
export function writeAll(
  files: Files,
  fd: number,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let at = 0;
    const next = () => {
      files.write(fd, bytes, at, bytes.length - at, position + at, (error, written) => {
        if (error !== null) return reject(error);
        if (written === 0) return reject(new Error('a write took no bytes'));
        at += written;
        if (at === bytes.length) resolve();
        else next();
      });
    };
    next();
  });
}

export function sync(files: Files, fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    files.sync(fd, (error) => (error === null ? resolve() : reject(error)));
  });
}

/** The system's name of an error, such as EIO; for others, what they are called. */
export function errnoOf(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown };
  return typeof code === 'string' ? code : String(name);
}

/** Whether it is for want of space, which may come back. */
export function isFull(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOSPC' || errno === 'EDQUOT';
}
