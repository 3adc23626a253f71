// What the tests of the disk run on it: a program that changes files in one of several ways, says so
// and then waits to be killed.

import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
  writeSync,
  writevSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

const [, , way, directory] = process.argv;
const file = join(directory, 'file');

function syncDirectory(path) {
  const fd = openSync(path, 'r');
  fsyncSync(fd);
  closeSync(fd);
}

/** A file with a synced content and a synced name. */
function settled(name, content) {
  const path = join(directory, name);
  const fd = openSync(path, 'w+');
  writeSync(fd, content);
  fdatasyncSync(fd);
  syncDirectory(directory);
  return fd;
}

const ways = {
  append() {
    const fd = settled('file', 'first;');
    writeSync(fd, 'second;');
  },
  overwrite() {
    const fd = settled('file', 'aaaaaaaaaa');
    writeSync(fd, 'BBB', 2);
    writevSync(fd, [Buffer.from('CC'), Buffer.from('DDDDDDDD')], 4);
  },
  size() {
    const fd = settled('file', 'aaaaaaaaaa');
    ftruncateSync(fd, 4);
    ftruncateSync(fd, 2000);
    writeSync(fd, 'zz', 1500);
  },
  names() {
    settled('renamed', 'renamed;');
    settled('replaced', 'replaced;');
    settled('removed', 'removed;');
    renameSync(join(directory, 'renamed'), join(directory, 'replaced'));
    unlinkSync(join(directory, 'removed'));
    const fd = openSync(join(directory, 'made'), 'w');
    writeSync(fd, 'made;');
    fsyncSync(fd);
    linkSync(join(directory, 'made'), join(directory, 'linked'));
    mkdirSync(join(directory, 'folder'));
    writeFileSync(join(directory, 'folder', 'within'), 'x');
  },
  'names-synced'() {
    ways.names();
    syncDirectory(directory);
    syncDirectory(join(directory, 'folder'));
  },
  'truncate-on-open'() {
    settled('file', 'aaaaaaaaaa');
    writeFileSync(file, 'b');
  },
  large() {
    const fd = settled('file', Buffer.alloc(300, 1));
    for (let index = 2; index < 12; index++) writeSync(fd, Buffer.alloc(700, index));
  },
  // After a sync that failed, the next one succeeds and covers nothing of before.
  'failed-sync'() {
    const fd = openSync(file, 'w+');
    syncDirectory(directory);
    writeSync(fd, 'l'.repeat(600));
    try {
      fdatasyncSync(fd);
      process.stdout.write('the sync did not fail\n');
    } catch {
      // As it should: what follows is another sync.
    }
    writeSync(fd, 'kept;');
    fdatasyncSync(fd);
  },
  restart() {
    const fd = openSync(file, 'r+');
    const { length } = readFileSync(file);
    writeSync(fd, 'third;', length);
  },
  'restart-and-sync'() {
    ways.restart();
    fdatasyncSync(openSync(file, 'r'));
  },
  // libuv's threads, several at a time.
  async threads() {
    const handles = await Promise.all(
      Array.from({ length: 8 }, (_, index) => open(join(directory, `file-${index}`), 'w+')),
    );
    syncDirectory(directory);
    await Promise.all(handles.map((handle, index) => handle.write(`synced-${index};`)));
    await Promise.all(handles.map((handle) => handle.datasync()));
    await Promise.all(handles.map((handle, index) => handle.write(`lost-${index};`)));
  },
};

await ways[way]();
process.stdout.write('done\n');
setInterval(() => {}, 1000);
