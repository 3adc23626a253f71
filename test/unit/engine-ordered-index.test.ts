// The ordered index of the TypeScript engine where it is behind by more keys than a `Set` may hold.

import { expect, it } from 'vitest';
import { withoutShared } from '../../ts/engine/ordered-index.js';

it('settles more new keys than a set may hold', () => {
  // A recovery that folded 2^24 new keys and one delete ended with "Set maximum size exceeded".
  const handles = Array.from({ length: 2 ** 24 + 1 }, (_, index) => index + 1);
  const [added, removed] = withoutShared(handles, [7, 2 ** 31]);
  expect([added.length, added.includes(7), [...removed]]).toEqual([2 ** 24, false, [2 ** 31]]);
});
