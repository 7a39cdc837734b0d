/**
 * Values to try where memory does not suffice.
 *
 * @module
 */

/** From here down every number is worth a try. */
const DENSE = 1024;

/** Whole numbers below `value`, down to 1; those above a thousand are halvings. */
export function below(value: unknown): number[] {
  const large = halvings(value, DENSE);
  const small = Math.min(Number(value), large.at(-1) ?? Infinity);
  return [
    ...large,
    ...Array.from({ length: Math.max(0, small - 1) }, (_, index) => small - 1 - index),
  ];
}

/**
 * `value` halved again and again, down to `least`, each rounded down.
 *
 * @example
 * ```ts
 * import { halvings } from "./settings.ts";
 *
 * if (halvings(12, 2).join() !== "6,3") throw new Error("12 / 2 / 2, and 1 is below 2");
 * ```
 */
export function halvings(value: unknown, least: number): number[] {
  const values: number[] = [];
  for (let next = Math.floor(Number(value) / 2); next >= least; next = Math.floor(next / 2)) {
    values.push(next);
  }
  return values;
}
