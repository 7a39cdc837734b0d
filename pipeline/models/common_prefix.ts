/**
 * What texts share: keys and values of equal first tokens are equal.
 *
 * @module
 */

/** How many tokens two texts begin with that are the same. */
export function commonPrefix(left: Uint32Array, right: Uint32Array): number {
  const most = Math.min(left.length, right.length);
  let length = 0;
  while (length < most && left[length] === right[length]) length++;
  return length;
}
