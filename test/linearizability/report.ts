// The history of a key that has no order, for a person: the longest order that was found, the
// operations of which none can follow it, and what else happened around them.

import { type Operation, operationText } from './operation.js';
import { type Register, register, registerText } from './register.js';
import type { SearchResult } from './search.js';

/** Operations shown of the order, and of what comes behind it. */
const ORDER_SHOWN_MAX = 25;
const REST_SHOWN_MAX = 25;

export function failureText(
  key: string,
  operations: readonly Operation[],
  { verdict, steps, furthest }: SearchResult<Register>,
): string {
  const { order, omitted, state, next } = furthest;
  const at = (index: number): Operation => operations[index] as Operation;
  const line = (index: number): string => `#${index} ${operationText(at(index))}`;
  const done = new Set([...order, ...omitted]);
  const rest = operations.flatMap((_, index) =>
    done.has(index) || next.includes(index) ? [] : [index],
  );
  const lines = [
    verdict === 'undecided'
      ? `key ${JSON.stringify(key)}: UNDECIDED after ${steps} steps, ${operations.length} operations`
      : `key ${JSON.stringify(key)}: not linearizable, ${operations.length} operations`,
    `the longest order found has ${order.length} of them:`,
  ];
  if (order.length > ORDER_SHOWN_MAX) lines.push(`  … ${order.length - ORDER_SHOWN_MAX} before`);
  let reached = register.initial;
  for (const [position, index] of order.entries()) {
    reached = register.step(reached, at(index)) ?? reached;
    if (position < order.length - ORDER_SHOWN_MAX) continue;
    lines.push(`  ${line(index)}    => ${registerText(reached)}`);
  }
  lines.push(`it leads to: ${registerText(state)}`);
  if (omitted.length > 0) {
    lines.push('taken as without effect:', ...omitted.slice(-ORDER_SHOWN_MAX).map(indented));
  }
  lines.push('one of these would have to follow, and none can:', ...next.map(indented));
  lines.push(`behind them come ${rest.length}:`, ...rest.slice(0, REST_SHOWN_MAX).map(indented));
  return lines.join('\n');

  function indented(index: number): string {
    return `  ${line(index)}`;
  }
}
