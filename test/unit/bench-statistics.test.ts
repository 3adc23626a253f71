// The rules by which the rows of the benchmark are judged.

import { describe, expect, it } from 'vitest';
import { isMet, ratioOf, spreadOf, targetText } from '../../bench/peers/statistics.js';

describe('the spread of rounds', () => {
  it('is median, least and greatest, in whatever order they came', () => {
    expect(spreadOf([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
    expect(spreadOf([10, 9, 100, 8, 11])).toEqual({ median: 10, min: 8, max: 100 });
    expect(spreadOf([7])).toEqual({ median: 7, min: 7, max: 7 });
  });

  it('takes the mean of the middle two of an even number', () => {
    expect(spreadOf([4, 1, 3, 2]).median).toBe(2.5);
  });

  it('sorts numbers as numbers and leaves the list as it was', () => {
    const samples = [9, 10, 100];
    expect(spreadOf(samples).median).toBe(10);
    expect(samples).toEqual([9, 10, 100]);
  });

  it('is never made of nothing or of what is no number', () => {
    expect(() => spreadOf([])).toThrow('no samples');
    expect(() => spreadOf([1, Number.NaN])).toThrow('NaN');
    expect(() => spreadOf([1, Number.POSITIVE_INFINITY])).toThrow('Infinity');
  });
});

describe('the ratio', () => {
  it('is that of the medians, with the spread of neighbouring runs', () => {
    // Round by round: 2, 1, 4; the medians are 200 and 100.
    expect(ratioOf([200, 100, 400], [100, 100, 100])).toEqual({ median: 2, min: 1, max: 4 });
  });

  it('is undefined over nothing', () => {
    expect(ratioOf([1], [0])).toBeUndefined();
    expect(ratioOf([1, 1, 1], [1, -1, 1])).toBeUndefined();
    // Less memory than nothing would meet any bound.
    expect(ratioOf([1, -1, 1], [1, 1, 1])).toBeUndefined();
  });
});

describe('a target', () => {
  it.each([
    { target: { ratioMin: 1.2 }, ratio: 1.2, met: true },
    { target: { ratioMin: 1.2 }, ratio: 1.19, met: false },
    { target: { ratioMax: 1 }, ratio: 1, met: true },
    { target: { ratioMax: 1 }, ratio: 1.01, met: false },
    { target: { ratioMin: 1, ratioMax: 2 }, ratio: 3, met: false },
  ])('$target at $ratio: $met', ({ target, ratio, met }) => {
    expect(isMet(target, ratio)).toBe(met);
  });

  it('of p99 holds besides that of the ratio', () => {
    const target = { ratioMin: 1.2, p99NotAbove: true } as const;
    expect(isMet(target, 2, { rondo: 10, peer: 10 })).toBe(true);
    expect(isMet(target, 2, { rondo: 11, peer: 10 })).toBe(false);
    expect(isMet(target, 1, { rondo: 9, peer: 10 })).toBe(false);
    expect(isMet({ ratioMin: 1 }, 2, { rondo: 11, peer: 10 })).toBe(true);
  });

  it('is neither met nor missed without it or without figures', () => {
    expect(isMet(undefined, 5)).toBeUndefined();
    expect(isMet({ ratioMin: 1 }, undefined)).toBeUndefined();
    expect(isMet({ ratioMin: 1, p99NotAbove: true }, 5)).toBeUndefined();
  });

  it('has a short text', () => {
    expect(targetText({ ratioMin: 1.2, p99NotAbove: true })).toBe('≥ 1.2 x, p99 ≤');
    expect(targetText({ ratioMax: 1 })).toBe('≤ 1 x');
    expect(targetText(undefined)).toBe('');
  });
});
