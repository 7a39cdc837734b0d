/**
 * The tables of QLoRA's NF4 data type (Dettmers et al. 2023, appendix E, and the constants of its
 * released code, which the construction reproduces to 3e-7).
 *
 * @module
 */

/** The 16 levels, ascending; index = code. */
export const NF4_LEVELS: readonly number[] = [
  -1.0,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0.0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1.0,
];

/**
 * The signed dynamic 8-bit map of double quantization, ascending: for each decade i = 0..6, the
 * centres of 2^i equal cells of [0.1, 1] times 10^(i - 6), both signs, and 0 and 1.
 */
export const DYNAMIC_MAP: readonly number[] = dynamicMap();

function dynamicMap(): number[] {
  const values = [0, 1];
  for (let decade = 0; decade < 7; decade++) {
    const cells = 2 ** decade;
    for (let cell = 0; cell < cells; cell++) {
      const centre = (0.1 + 0.9 * (cell + 0.5) / cells) * 10 ** (decade - 6);
      values.push(Math.fround(centre), Math.fround(-centre));
    }
  }
  return values.sort((left, right) => left - right);
}
