// The stand-in and its faults that are found soon: see `faults.ts`.

import { seedOf } from '../parity/random.js';
import { describeFaults } from './faults.js';

describeFaults(seedOf(20260806), 'soon');
