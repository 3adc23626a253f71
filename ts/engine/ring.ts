// Places partitions on members: which of several has which.

/** The member of each partition; the same for equal arguments, whenever and wherever. */
export function placePartitions(partitions: number, members: number): Uint16Array {
  return Uint16Array.from({ length: partitions }, (_, partition) => partition % members);
}
