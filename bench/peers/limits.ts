// What a run must have to stand in the results folder, and where that is.

/** Rounds of each side at least. */
export const ROUNDS_LEAST = 5;
/** From where the benchmark is started, which npm makes the repository. */
export const RESULTS_FOLDER = 'bench/results';
