// Shows durations that were counted elsewhere as a Prometheus histogram. prom-client's own histogram
// hashes its labels at every observation, which costs more than executing a small frame.

import { Histogram, type MetricType } from 'prom-client';
import { DURATION_BUCKET_COUNT, type Durations } from '../counters.js';

export class DurationHistogram extends Histogram {
  private readonly described: { readonly name: string; readonly help: string };

  constructor(
    name: string,
    help: string,
    private readonly durations: Durations,
  ) {
    super({ name, help, registers: [] });
    this.described = { name, help };
  }

  override async get(): ReturnType<Histogram['get']> {
    const { name, help } = this.described;
    const bounds: (number | string)[] = [];
    for (let index = 0; index < DURATION_BUCKET_COUNT - 1; index++) bounds.push(2 ** index / 1e6);
    bounds.push('+Inf');
    let count = 0;
    const values = bounds.map((le, index) => {
      count += this.durations.buckets[index] as number;
      return { labels: { le }, value: count, metricName: `${name}_bucket` };
    });
    return {
      name,
      help,
      type: 'histogram' as unknown as MetricType,
      aggregator: 'sum',
      collect: () => undefined,
      values: [
        ...values,
        { labels: {}, value: this.durations.sumMs / 1000, metricName: `${name}_sum` },
        { labels: {}, value: count, metricName: `${name}_count` },
      ],
    };
  }

  /** What prom-client calls to print a histogram, where it is there. */
  getForPromString(): ReturnType<Histogram['get']> {
    return this.get();
  }
}
