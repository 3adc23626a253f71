// The checker's oracle for small histories: every order of every choice of lost operations, tried one
// by one with no cleverness at all.

import type { Operation } from './operation.js';
import { type Register, register } from './register.js';

export function hasOrder(operations: readonly Operation[]): boolean {
  return extend(register.initial, operations);
}

function extend(state: Register, left: readonly Operation[]): boolean {
  if (left.every(({ outcome }) => outcome.status === 'unknown')) return true;
  return left.some((operation) => {
    const others = left.filter((other) => other !== operation);
    // Nothing may come first that was called after another one had returned.
    if (others.some(({ returned }) => returned < operation.called)) return false;
    const after = register.step(state, operation);
    if (after !== undefined && extend(after, others)) return true;
    return operation.outcome.status === 'unknown' && extend(state, others);
  });
}
