/**
 * Drawing the next token on the device, one workgroup for each row of logits, without sorting: the
 * smallest logit that top-k or top-p leaves, and the token that is drawn, are the largest numbers x
 * at which some monotone sum over the vocabulary meets its condition. They are found by digits, all
 * values of a digit in one pass.
 *
 * @module
 */

import { type Arguments, checkSample } from "../shapes.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { THREEFRY } from "./threefry.ts";
import { entryPoint, range } from "./unroll.ts";
import { dispatchOf, f32, reductions, sumOf, u32, vectorType, vectorWidth } from "./wgsl.ts";

/** Bits of a digit. */
const DIGIT = 4;

/** {@linkcode Operations.sample}. */
export function sample({ profile }: KernelContext, args: Arguments<"sample">): Dispatch[] {
  const { batch, V } = checkSample(args);
  const { temperature, topK = V, topP = 1 } = args;
  const width = vectorWidth(V);
  const lanes = profile.class === "software" && profile.subgroupSize > 0
    ? profile.subgroupSize
    : Math.min(256, profile.maxWorkgroupInvocations);
  const searches = temperature === 0
    ? []
    : [...(topK < V ? [TOP_K] : []), ...(topP < 1 ? [TOP_P] : []), drawn(V)];
  return [dispatchOf(profile, {
    label: ["sample", ...searches.map(({ name }) => name)].join(" "),
    storage: [
      { name: "logits", tensor: args.logits, access: "read", element: vectorType(width) },
      { name: "keys", tensor: args.keys, access: "read", element: "u32" },
      { name: "counters", tensor: args.counters, access: "read", element: "u32" },
      { name: "tokens", tensor: args.tokens, access: "read_write", element: "u32" },
      {
        name: "log_probabilities",
        tensor: args.logProbabilities,
        access: "read_write",
        element: "f32",
      },
    ],
    uniforms: {
      columns: u32(V / width),
      inverse_temperature: f32(temperature === 0 ? 1 : 1 / temperature),
      top_k: f32(Math.min(topK, V)),
      top_p: f32(topP),
    },
    body: `${reductions(profile, lanes, { reduce_max: "max", reduce_sum: "add" })}
${declarations(width)}
${searches.length > 0 ? `${THREEFRY}\n${keptShare(width, lanes)}` : ""}
${searches.map((search) => searchFunction(search, width, lanes)).join("\n")}
${
      entryPoint(
        lanes,
        `  first = group.x * parameters.columns;
${likeliest(width, lanes)}
${searches.length === 0 ? "  let token = likeliest;" : searches.map(({ use }) => use).join("\n")}
  if (lane == 0u) {
    tokens[group.x] = token;
    log_probabilities[group.x] = logit_of(token) - maximum - log(total);
  }`,
      )
    }`,
    workgroups: [batch, 1, 1],
  })];
}

/** The state of a row, and what becomes of its logits: integers in their order, shares of a draw. */
function declarations(width: 1 | 4): string {
  const [floats, words] = [vectorType(width), width === 4 ? "vec4<u32>" : "u32"];
  return `var<private> first: u32;
var<private> maximum: f32;
var<private> least = 0u;
var<private> wanted: f32;

fn ids_of(column: u32) -> ${words} {
  return ${width === 4 ? "4u * column + vec4<u32>(0u, 1u, 2u, 3u)" : "column"};
}

fn logit_of(id: u32) -> f32 {
  return logits[first + id / ${width}u]${width === 4 ? "[id % 4u]" : ""};
}

fn order_of(logit: ${floats}) -> ${words} {
  // Both zeros are equal.
  let bits = bitcast<${words}>(select(logit, ${floats}(), logit == ${floats}()));
  return select(bits | ${words}(0x80000000u), ~bits, bits >= ${words}(0x80000000u));
}

fn kept_share_of(logit: ${floats}) -> ${floats} {
  let share = exp((logit - maximum) * parameters.inverse_temperature);
  return select(${floats}(), share, order_of(logit) >= ${words}(least));
}

fn total_of(sums: ${floats}, lane: u32) -> f32 {
  return reduce_sum(${sumOf(width, "sums")}, lane);
}`;
}

/** Runs statements for each column; they see `column` and `logit`. */
function eachColumn(lanes: number, statements: string): string {
  return `  for (var column = lane; column < parameters.columns; column += ${lanes}u) {
    let logit = logits[first + column];
${statements}
  }`;
}

/** Declares `likeliest`, the first place of the `maximum`, and `total`, of exponentials below it. */
function likeliest(width: 1 | 4, lanes: number): string {
  const parts = width === 4 ? range(4).map((i) => `[${i}]`) : [""];
  return `  var own_maximum = -3.4e38;
  var own_id = 0u;
${
    eachColumn(
      lanes,
      parts.map((part, i) =>
        `    if (logit${part} > own_maximum) { own_maximum = logit${part}; own_id = ${width}u * column + ${i}u; }`
      ).join("\n"),
    )
  }
  maximum = reduce_max(own_maximum, lane);
  // Ids are exact in f32; the largest negative one is the first.
  let likeliest = u32(-reduce_max(select(-3.4e38, -f32(own_id), own_maximum == maximum), lane));
  var own_total = ${vectorType(width)}();
${eachColumn(lanes, "    own_total += exp(logit - maximum);")}
  let total = total_of(own_total, lane);`;
}

/** The total of what is kept, with the same rounding as the sums of a search. */
function keptShare(width: 1 | 4, lanes: number): string {
  return `fn kept_share(lane: u32) -> f32 {
  var sum = ${vectorType(width)}();
${eachColumn(lanes, "    sum += kept_share_of(logit);")}
  return total_of(sum, lane);
}`;
}

/** Finds the largest x, below 2^bits, at which a sum over the vocabulary meets a condition. */
interface Search {
  /** Of the WGSL function. */
  readonly name: string;
  /** Of x, a multiple of {@linkcode DIGIT}. */
  readonly bits: number;
  /** What tokens add, of the type of `logit`. */
  readonly term: string;
  /** Which tokens do, at `x`. */
  readonly counted: (x: string) => string;
  /** Condition on `x` and its `sum`; false from some x on. */
  readonly condition: string;
  /** Statements of the entry point that call the function. */
  readonly use: string;
}

/** The order of the k-th largest logit. */
const TOP_K: Search = {
  name: "top_k",
  bits: 32,
  term: "floats(1.0)",
  counted: (x) => `order_of(logit) >= words(${x})`,
  condition: "sum >= parameters.top_k",
  use: "  least = top_k(lane);",
};

/** The order of the largest logit that has, with all above it, the wanted share. */
const TOP_P: Search = {
  name: "top_p",
  bits: 32,
  term: "kept_share_of(logit)",
  counted: (x) => `order_of(logit) >= words(${x})`,
  condition: "sum >= wanted",
  use: `  wanted = parameters.top_p * kept_share(lane);
  least = max(least, top_p(lane));`,
};

/** The token up to which the sum exceeds the drawn one: the largest before which it does not. */
function drawn(V: number): Search {
  return {
    name: "drawn",
    bits: DIGIT * Math.max(1, Math.ceil(Math.log2(V) / DIGIT)),
    term: "kept_share_of(logit)",
    counted: (x) => `ids_of(column) < words(${x})`,
    condition: `sum <= wanted && x < ${V}u`,
    use: `  let key = vec2<u32>(keys[2u * group.x], keys[2u * group.x + 1u]);
  let word = threefry(key, vec2<u32>(counters[group.x], 0u));
  wanted = f32(word >> 8u) / 16777216.0 * kept_share(lane);
  let token = drawn(lane);`,
  };
}

function searchFunction(search: Search, width: 1 | 4, lanes: number): string {
  const typed = (code: string) =>
    code.replaceAll("floats(", `${vectorType(width)}(`)
      .replaceAll("words(", width === 4 ? "vec4<u32>(" : "u32(");
  const digits = range(2 ** DIGIT).slice(1);
  return typed(`fn ${search.name}(lane: u32) -> u32 {
  var found = 0u;
  for (var digit = ${search.bits / DIGIT}u; digit > 0u; digit--) {
    let shift = ${DIGIT}u * (digit - 1u);
${digits.map((d) => `    var sum${d} = floats();`).join("\n")}
${
    eachColumn(
      lanes,
      [
        `    let term = ${search.term};`,
        ...digits.map((d) => {
          const counted = search.counted(`(found + (${d}u << shift))`);
          return `    sum${d} += select(floats(), term, ${counted});`;
        }),
      ].join("\n"),
    )
  }
    var value = 0u;
${
    digits.map((d) =>
      `    { let x = found + (${d}u << shift); let sum = total_of(sum${d}, lane); value += u32(${search.condition}); }`
    ).join("\n")
  }
    found += value << shift;
  }
  return found;
}`);
}
