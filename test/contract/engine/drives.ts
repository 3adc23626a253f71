// Makes engines for one test and closes them after it.

import { onTestFinished } from 'vitest';
import type { EngineOptions } from '../../../ts/engine/engine.js';
import { Drive } from '../../drive/drive.js';
import { type CreateEngine, OPTIONS } from '../../drive/engines.js';

export function drives(create: CreateEngine): (options?: Partial<EngineOptions>) => Drive {
  return (options = {}) => {
    const engine = create({ ...OPTIONS, ...options });
    onTestFinished(() => engine.close());
    return new Drive(engine);
  };
}
