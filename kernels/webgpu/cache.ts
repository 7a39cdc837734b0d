/**
 * The key-value cache of generation: what its kernels bind, and how new tokens are written into it.
 *
 * @module
 */

import type { KeyValueCache } from "../device.ts";
import { type Arguments, checkAppendToCache, checkCachedAttention } from "../shapes.ts";
import { attentionUniforms, heads } from "./attention_rows.ts";
import { perElement } from "./per_element.ts";
import type { Dispatch, KernelContext, Uniform } from "./program.ts";
import { type Storage, u32 } from "./wgsl.ts";

/** {@linkcode Operations.appendToCache}. */
export function appendToCache(
  { profile }: KernelContext,
  args: Arguments<"appendToCache">,
): Dispatch[] {
  const { batch, length, capacity, width } = checkAppendToCache(args);
  const vectors = width / 4;
  return [perElement(profile, {
    label: "appendToCache",
    size: batch * length * vectors,
    storage: [
      heads("keys", args.keys),
      heads("values", args.values),
      heads("key_cache", args.keyCache, "read_write"),
      heads("value_cache", args.valueCache, "read_write"),
      ...placement(args),
    ],
    uniforms: { length: u32(length), capacity: u32(capacity) },
    code: `  let token = index / ${vectors}u;
  let sequence = token / parameters.length;
  let position = positions[sequence] + token % parameters.length;
  if (position >= parameters.capacity) { return; }
  let place = (slots[sequence] * parameters.capacity + position) * ${vectors}u + index % ${vectors}u;
  key_cache[place] = keys[index];
  value_cache[place] = values[index];`,
  })];
}

/** Where the sequences of a batch stand in a cache. */
function placement({ slots, positions }: KeyValueCache): Storage[] {
  return [
    { name: "slots", tensor: slots, access: "read", element: "u32" },
    { name: "positions", tensor: positions, access: "read", element: "u32" },
  ];
}

/** What a kernel binds. */
export function cacheStorage(args: Arguments<"cachedAttention">, output: Storage): Storage[] {
  return [
    heads("queries", args.queries),
    heads("keys", args.keyCache),
    heads("values", args.valueCache),
    output,
    ...placement(args),
  ];
}

/** The uniforms of a kernel. */
export function cacheUniforms(args: Arguments<"cachedAttention">): Record<string, Uniform> {
  const dimensions = checkCachedAttention(args);
  return {
    ...attentionUniforms({ ...args, length: dimensions.capacity }, dimensions),
    queries: u32(args.length),
  };
}
