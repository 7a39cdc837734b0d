/**
 * Drawing the next token on the device, one workgroup for each row of logits, without sorting. The
 * smallest logit that top-k leaves, the smallest that top-p leaves and the token that is drawn are all
 * the largest key x at which the sum of some terms, over the tokens with keys from x on, is large
 * enough. Such an x is found by its digits, all values of a digit in one pass over the row.
 *
 * @module
 */

import { type Arguments, checkSample } from "../shapes.ts";
import type { Dispatch, KernelContext, Profile } from "./program.ts";
import { THREEFRY } from "./threefry.ts";
import { entryPoint, range, unroll } from "./unroll.ts";
import { dispatchOf, f32, reductions, sumOf, u32, vectorType, vectorWidth } from "./wgsl.ts";

/** Bits of a digit. */
const DIGIT = 4;

/** Values of a digit. */
const VALUES = 2 ** DIGIT;

/** {@linkcode Operations.sample}. */
export function sample({ profile }: KernelContext, args: Arguments<"sample">): Dispatch[] {
  const { batch, V } = checkSample(args);
  const { temperature, topK = V, topP = 1 } = args;
  const width = vectorWidth(V);
  const lanes = sampleLanes(profile);
  const greedy = temperature === 0;
  const body = `  let first = group.x * parameters.columns;
${likeliest(width, lanes)}
${greedy ? "  let token = likeliest;" : draw(profile, width, lanes)}
  if (lane == 0u) {
    tokens[group.x] = token;
    let logit = logits[first + token / ${width}u]${width === 4 ? "[token % 4u]" : ""};
    log_probabilities[group.x] = logit - maximum - log(total);
  }`;
  return [dispatchOf(profile, {
    label: greedy ? "sample likeliest" : "sample",
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
      vocabulary: u32(V),
      digits: u32(Math.max(1, Math.ceil(Math.log2(V) / DIGIT))),
      // 0 leaves all.
      top_k: f32(topK < V ? topK : 0),
      top_p: f32(topP < 1 ? topP : 0),
      inverse_temperature: f32(greedy ? 1 : 1 / temperature),
    },
    body: [
      reductions(profile, lanes, { reduce_max: "max", reduce_sum: "add" }),
      ...(greedy ? [] : [THREEFRY, ORDER, exchangeOf(profile, lanes)]),
      entryPoint(lanes, body),
    ].join("\n"),
    workgroups: [batch, 1, 1],
  })];
}

function sampleLanes({ class: kind, subgroupSize, maxWorkgroupInvocations }: Profile): number {
  if (subgroupSize === 0) return 64;
  return kind === "software" ? subgroupSize : Math.min(256, maxWorkgroupInvocations);
}

/** Runs statements for each column; they see `column` and `logit`. */
function eachColumn(lanes: number, statements: string): string {
  return `  for (var column = lane; column < parameters.columns; column += ${lanes}u) {
    let logit = logits[first + column];
${statements}
  }`;
}

/** Declares `maximum`, `likeliest`, its first place, and `total`, the sum of exponentials below it. */
function likeliest(width: 1 | 4, lanes: number): string {
  const parts = width === 4 ? range(4).map((i) => `[${i}]`) : [""];
  const larger = parts.map((part, i) =>
    `    if (logit${part} > own_maximum) {
      own_maximum = logit${part};
      own_id = ${width}u * column + ${i}u;
    }`
  );
  return `  var own_maximum = -3.4e38;
  var own_id = 0u;
${eachColumn(lanes, larger.join("\n"))}
  let maximum = reduce_max(own_maximum, lane);
  // Ids are exact in f32; the largest negative one is the first.
  let likeliest = u32(-reduce_max(select(-3.4e38, -f32(own_id), own_maximum == maximum), lane));
  var own_total = ${vectorType(width)}();
${eachColumn(lanes, "    own_total += exp(logit - maximum);")}
  let total = reduce_sum(${sumOf(width, "own_total")}, lane);`;
}

/** A logit as an integer in the same order; both zeros are equal. */
const ORDER = `fn order_of(logit: f32) -> u32 {
  let bits = bitcast<u32>(select(logit, 0.0, logit == 0.0));
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}`;

/**
 * Declares `token`. Three searches, of which the first two may be left out: by order of logits, terms
 * of 1 until there are k; by order, probabilities until there is a share of p; and by id, from the
 * last on, probabilities until what is drawn is exceeded.
 */
function draw(profile: Profile, width: 1 | 4, lanes: number): string {
  const [floats, words] = [vectorType(width), width === 4 ? "vec4<u32>" : "u32"];
  const parts = width === 4 ? range(4).map((i) => `[${i}]`) : [""];
  const vector = (code: (part: string) => string) => `${words}(${parts.map(code).join(", ")})`;
  const ids = width === 4 ? "4u * column + vec4<u32>(0u, 1u, 2u, 3u)" : "column";
  return `  let key = vec2<u32>(keys[2u * group.x], keys[2u * group.x + 1u]);
  let random = f32(threefry(key, vec2<u32>(counters[group.x], 0u)) >> 8u) / 16777216.0;
  var least = 0u;
  var token = 0u;
  for (var search = 0u; search < 3u; search++) {
    if (search == 0u && parameters.top_k == 0.0) { continue; }
    if (search == 1u && parameters.top_p == 0.0) { continue; }
    let digits = select(${32 / DIGIT}u, parameters.digits, search == 2u);
    var wanted = parameters.top_k;
    var found = 0u;
    for (var digit = digits; digit > 0u; digit--) {
      let shift = ${DIGIT}u * (digit - 1u);
${
    unroll(VALUES, (d) =>
      `      let x${d} = ${words}(found + (${d}u << shift));
      var sum${d} = ${floats}();`)
  }
${
    eachColumn(
      lanes,
      `      let order = ${vector((part) => `order_of(logit${part})`)};
      let from_last = ${words}(parameters.vocabulary - 1u) - (${ids});
      let x = select(order, from_last, search == 2u);
      let share = exp((logit - maximum) * parameters.inverse_temperature);
      let kept = select(${floats}(), share, order >= ${words}(least));
      let term = select(kept, ${floats}(1.0), search == 0u);
${unroll(VALUES, (d) => `      sum${d} += select(${floats}(), term, x >= x${d});`)}`,
    )
  }
${unroll(VALUES, (d) => `      var total${d} = ${sumOf(width, `sum${d}`)};`)}
${addLanes(profile, lanes)}
      if (digit == digits && search > 0u) {
        wanted = total0 * select(random, parameters.top_p, search == 1u);
      }
      var value = 0u;
${
    unroll(VALUES - 1, (d) =>
      `      value += u32(total${d + 1} > wanted || (total${d + 1} == wanted && search < 2u));`)
  }
      found += value << shift;
    }
    if (search == 2u) {
      token = parameters.vocabulary - 1u - found;
    } else {
      least = found;
    }
  }`;
}

/** Workgroup memory through which {@linkcode addLanes} adds, if any. */
function exchangeOf({ subgroupSize }: Profile, lanes: number): string {
  if (lanes === subgroupSize) return "";
  const parts = subgroupSize > 0 ? lanes / subgroupSize : lanes;
  return `var<workgroup> exchange: array<f32, ${VALUES * parts}>;
var<workgroup> totals: array<f32, ${VALUES}>;`;
}

/**
 * Replaces `total0`, `total1`, ... by their sums over all lanes. All at once and with loops, because
 * software compiles a barrier for a long time.
 */
function addLanes({ subgroupSize }: Profile, lanes: number): string {
  const each = (code: (d: number) => string) => unroll(VALUES, (d) => `      ${code(d)}`);
  const inSubgroup = each((d) => `total${d} = subgroupAdd(total${d});`);
  if (lanes === subgroupSize) return inSubgroup;
  const parts = subgroupSize > 0 ? lanes / subgroupSize : lanes;
  const [writers, part] = subgroupSize > 0
    ? [`lane % ${subgroupSize}u == 0u`, `lane / ${subgroupSize}u`]
    : ["true", "lane"];
  return `${subgroupSize > 0 ? inSubgroup : ""}
      if (${writers}) {
${each((d) => `  exchange[${d * parts}u + ${part}] = total${d};`)}
      }
      workgroupBarrier();
      if (lane < ${VALUES}u) {
        var all = 0.0;
        for (var i = 0u; i < ${parts}u; i++) { all += exchange[lane * ${parts}u + i]; }
        totals[lane] = all;
      }
      workgroupBarrier();
${each((d) => `total${d} = totals[${d}];`)}`;
}
