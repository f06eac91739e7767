// What the seeds of a design have in common, and how two designs differ seed by seed.

export const mean = (numbers) => numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
export const round = (value, digits = 4) => Number(value.toFixed(digits));

/** Mean loss of an experiment's held-out tokens up to position `most`, in nats; Infinity where training diverged. */
export function lossOf({ heldOut }, most = Infinity) {
  const parts = heldOut.filter(({ to = 0 }) => to <= most);
  const tokens = parts.reduce((sum, part) => sum + part.tokens, 0);
  return tokens === 0 ? Infinity : parts.reduce((sum, { nll, tokens: own }) => sum + nll * own, 0) / tokens;
}

/** Standard deviation of a sample; undefined for one number. */
export function deviation(numbers) {
  if (numbers.length < 2) return undefined;
  const centre = mean(numbers);
  return Math.sqrt(numbers.reduce((sum, each) => sum + (each - centre) ** 2, 0) / (numbers.length - 1));
}

/** { mean, deviation, values } with four digits; values in the order of the seeds. */
export function spread(values) {
  const sd = deviation(values);
  return { mean: round(mean(values)), ...(sd === undefined ? {} : { deviation: round(sd) }), values: values.map((each) => round(each)) };
}

/** Student's t that 95 % of samples stay within, by degrees of freedom from 1; the last for more. */
const CRITICAL = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];

/**
 * How much higher `values` are than `base`, seed by seed: seeds share their tokens' order, so what a seed
 * does to both falls out. `error`: the standard error of the mean difference. `decided`: whether the mean
 * is further from 0 than chance brings it in one of twenty samples (paired t-test, two-sided).
 */
export function difference(values, base) {
  const each = values.slice(0, base.length).map((value, i) => value - base[i]);
  const sd = deviation(each);
  const error = sd === undefined ? undefined : sd / Math.sqrt(each.length);
  return { mean: round(mean(each)), ...(error === undefined ? {} : { error: round(error) }), decided: error !== undefined && Math.abs(mean(each)) > CRITICAL[Math.min(each.length - 1, CRITICAL.length) - 1] * error };
}
