// The stand-in and all its faults: see `faults.ts`.

import { freshSeed } from '../parity/random.js';
import { describeFaults } from './faults.js';

describeFaults(freshSeed(), 'all');
