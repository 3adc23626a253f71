// Where durable data of the benchmark lies: a sync to memory is none.

import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { checkStorage, findMount, storageOf, storageText } from '../../bench/peers/storage.js';

const MOUNTS = [
  '21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw',
  '22 21 0:20 / /proc rw - proc proc rw',
  '23 21 0:21 / /tmp rw,nosuid shared:2 - tmpfs tmpfs rw,size=1024k',
  '24 21 8:1 /data /mnt/two\\040words rw - xfs /dev/sd\\040a rw',
  '25 24 8:2 / /mnt/two\\040words rw master:3 - btrfs /dev/sdb rw',
  '',
].join('\n');

describe('the storage of a folder', () => {
  it.each([
    ['/', 'ext4', '/dev/vda'],
    ['/home/user', 'ext4', '/dev/vda'],
    ['/tmp', 'tmpfs', 'tmpfs'],
    ['/tmp/rondo-1', 'tmpfs', 'tmpfs'],
    ['/tmpx', 'ext4', '/dev/vda'],
    ['/mnt/two words/x', 'btrfs', '/dev/sdb'],
  ])('%s is on %s', (path, type, device) => {
    expect(findMount(MOUNTS, path)).toEqual({ type, device });
  });

  it('is unknown where no mount holds it', () => {
    expect(findMount('', '/tmp')).toBeUndefined();
    expect(storageText(undefined)).toBe('durable data of all sides is on one file system');
  });

  it('is told for a folder that is there', () => {
    if (process.platform !== 'linux') return;
    expect(storageText(storageOf(tmpdir()))).toMatch(/on one file system, \w+ on \S+$/);
  });

  it('is refused where it is memory', () => {
    expect(() => checkStorage(findMount(MOUNTS, '/tmp'))).toThrow('in memory (tmpfs)');
    checkStorage(findMount(MOUNTS, '/home'));
    checkStorage(undefined);
  });
});
