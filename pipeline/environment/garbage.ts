/**
 * Garbage collection between layers. V8 counts arrays outside of its heap reluctantly: a stage that
 * allocates a hundred matrices a layer has up to 200 MB of garbage before it begins to collect, and
 * how much it has is chance, which no memory plan can state.
 *
 * @module
 */

/** Garbage below this is not worth a collection, which takes some milliseconds. */
const WORTH_COLLECTING = 8 * 2 ** 20;

/** V8's collector, in processes that were started with {@linkcode COLLECTOR_FLAGS}. */
const collector: unknown = Reflect.get(globalThis, "gc");

let left = 0;

/** Flags of `deno run` for processes in which {@linkcode collectGarbage} does something. */
export const COLLECTOR_FLAGS: readonly string[] = ["--v8-flags=--expose-gc"];

/** Collects what has become garbage since the last call, if that may be much. */
export function collectGarbage(): void {
  if (typeof collector !== "function") return;
  if (Deno.memoryUsage().external - left < WORTH_COLLECTING) return;
  collector();
  left = Deno.memoryUsage().external;
}
