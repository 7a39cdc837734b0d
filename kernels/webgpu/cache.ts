/**
 * Generation with a key-value cache: new tokens are written into it, and attend to it.
 *
 * @module
 */

import type { KeyValueCache } from "../device.ts";
import { type Arguments, checkAppendToCache, checkCachedAttention } from "../shapes.ts";
import { attentionUniforms, heads } from "./attention_rows.ts";
import { blockOfQueries, MOST_VECTORS, singleQuery } from "./cached_attention.ts";
import { perElement } from "./per_element.ts";
import type { Dispatch, KernelContext, Profile } from "./program.ts";
import { dispatchOf, type Storage, u32 } from "./wgsl.ts";

/** Queries of a sequence from which on hardware computes blocks of them. */
const LEAST_BLOCK = 16;

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

/** {@linkcode Operations.cachedAttention}. */
export function cachedAttention(
  { profile }: KernelContext,
  args: Arguments<"cachedAttention">,
): Dispatch[] {
  const dimensions = checkCachedAttention(args);
  const { capacity } = dimensions;
  const kernel = isBlock(profile, args) ? blockOfQueries : singleQuery;
  return [dispatchOf(profile, {
    storage: [
      heads("queries", args.queries),
      heads("keys", args.keyCache),
      heads("values", args.valueCache),
      heads("output", args.output, "read_write"),
      ...placement(args),
    ],
    uniforms: {
      ...attentionUniforms({ ...args, length: capacity }, dimensions),
      queries: u32(args.length),
      vectors: u32(args.headDim / 4),
    },
    ...kernel(profile, args),
  })];
}

/** Software has no faster way; hardware with few queries would leave most invocations idle. */
function isBlock(profile: Profile, { length, headDim }: Arguments<"cachedAttention">): boolean {
  return profile.class === "software" || length >= LEAST_BLOCK ||
    headDim > 4 * MOST_VECTORS;
}

function placement({ slots, positions }: KeyValueCache): Storage[] {
  return [
    { name: "slots", tensor: slots, access: "read", element: "u32" },
    { name: "positions", tensor: positions, access: "read", element: "u32" },
  ];
}
