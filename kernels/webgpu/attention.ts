/**
 * Causal grouped-query attention without materialised scores: FlashAttention (Dao et al. 2022,
 * algorithms 1 and 4; Dao 2023, sections 3.1 and 3.2) with one query per invocation, or one key in the
 * gradient of keys and values. An invocation holds its own rows in registers and reads the rows of
 * the other side from a tile (`attention_tiles.ts`), so that no reduction crosses invocations and
 * every sum has a fixed order.
 *
 * @module
 */

import type { AttentionShape, Operations, Tensor } from "../device.ts";
import { type AttentionDimensions, checkAttention, checkAttentionBackward } from "../shapes.ts";
import { type RowTile, rowTile, tileLoop, type TileShape, tileShape } from "./attention_tiles.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { component, entryPoint, range, unroll } from "./unroll.ts";
import { dispatchOf, f32, type Storage, u32 } from "./wgsl.ts";

/** Scores of masked pairs; finite, so that differences of two of them are 0 and not NaN. */
const MASKED = "-1e30";

/** {@linkcode Operations.attention}. */
export function attention(
  context: KernelContext,
  args: Parameters<Operations["attention"]>[0],
): Dispatch[] {
  const shape = tileShape(context.profile, args.headDim, 2);
  const keys = rowTile(shape, "keys");
  const values = rowTile(shape, "values");
  const score = (row: number) => `score${row}`;
  const step = `${
    unroll(shape.rows, (row) =>
      `${dot(shape, score(row), "query", (d) => keys.vector(row, d))}
      let valid${row} = ${validKey(row)};
      ${score(row)} = select(${MASKED}, ${score(row)} * parameters.scale, valid${row});`)
  }
      let largest = ${
    range(shape.rows).reduce((max, row) => `max(${max}, ${score(row)})`, "maximum")
  };
      let shrink = exp(maximum - largest);
      maximum = largest;
      total *= shrink;
${unroll(shape.vectors, (d) => `      sum${d} *= shrink;`)}
${
    unroll(shape.rows, (row) =>
      `      let weight${row} = select(0.0, exp(${score(row)} - largest), valid${row});
      total += weight${row};
${
        axpy(shape, "sum", `weight${row}`, (d) => values.vector(row, d))
      }`)
  }`;
  return [dispatchOf(context.profile, {
    label: `attention ${args.headDim}`,
    storage: [
      vectors("queries", args.queries),
      vectors("keys", args.keys),
      vectors("values", args.values),
      { ...vectors("output", args.output), access: "read_write" },
      { name: "log_sum_exp", tensor: args.logSumExp, access: "read_write", element: "f32" },
    ],
    uniforms: uniforms(args, checkAttention(args)),
    body: `${tileDeclarations(keys, values)}
${
      entryPoint(
        shape.lanes,
        `${queryOwner(shape)}
${ownRow(shape, "query", "queries")}
${unroll(shape.vectors, (d) => `  var sum${d} = vec4<f32>();`)}
  var maximum = ${MASKED};
  var total = 0.0;
${keyLoop(shape, [keys, values], step)}
  if (position < parameters.length) {
${unroll(shape.vectors, (d) => `    output[own + ${d}u] = sum${d} / total;`)}
    log_sum_exp[(batch + position) * parameters.heads + head] = maximum + log(total);
  }`,
      )
    }`,
    workgroups: [Math.ceil(args.length / shape.lanes), args.heads, args.batch],
  })];
}

/** {@linkcode Operations.attentionBackward}. */
export function attentionBackward(
  context: KernelContext,
  args: Parameters<Operations["attentionBackward"]>[0],
): Dispatch[] {
  const dimensions = checkAttentionBackward(args);
  const delta = context.scratch("f32", [dimensions.T, args.heads]);
  return [
    outputDots(context, args, dimensions, delta),
    gradQueries(context, args, dimensions, delta),
    gradKeysAndValues(context, args, dimensions, delta),
  ];
}

type Backward = Parameters<Operations["attentionBackward"]>[0];

/** `delta[t, h] = dO . O`, which is the softmax-weighted mean of dP (Dao 2022, appendix B.2). */
function outputDots(
  context: KernelContext,
  args: Backward,
  { T }: AttentionDimensions,
  delta: Tensor,
): Dispatch {
  const lanes = context.profile.class === "software" ? 8 : 64;
  const count = Math.ceil(T * args.heads / lanes);
  const across = Math.min(count, context.profile.maxWorkgroupsPerDimension);
  return dispatchOf(context.profile, {
    label: "attentionBackward delta",
    storage: [
      vectors("output", args.output),
      vectors("grad_output", args.gradOutput),
      { name: "delta", tensor: delta, access: "read_write", element: "f32" },
    ],
    uniforms: {
      size: u32(T * args.heads),
      across: u32(across * lanes),
      vectors: u32(args.headDim / 4),
    },
    body: entryPoint(
      lanes,
      `  let index = group.y * parameters.across + group.x * ${lanes}u + lane;
  if (index >= parameters.size) { return; }
  var sum = vec4<f32>();
  let first = index * parameters.vectors;
  for (var i = 0u; i < parameters.vectors; i++) {
    sum = fma(output[first + i], grad_output[first + i], sum);
  }
  delta[index] = dot(sum, vec4<f32>(1.0));`,
    ),
    workgroups: [across, Math.ceil(count / across), 1],
  });
}

/** By blocks of queries: `dS = P (dP - delta) scale`, `dQ = dS K`. */
function gradQueries(
  context: KernelContext,
  args: Backward,
  dimensions: AttentionDimensions,
  delta: Tensor,
): Dispatch {
  const shape = tileShape(context.profile, args.headDim, 3);
  const keys = rowTile(shape, "keys");
  const values = rowTile(shape, "values");
  const step = unroll(
    shape.rows,
    (row) =>
      `${dot(shape, `score${row}`, "query", (d) => keys.vector(row, d))}
      let weight${row} = select(0.0, exp(score${row} * parameters.scale - normalizer), ${
        validKey(row)
      });
${dot(shape, `product${row}`, "grad", (d) => values.vector(row, d))}
      let slope${row} = weight${row} * (product${row} - mean) * parameters.scale;
${axpy(shape, "sum", `slope${row}`, (d) => keys.vector(row, d))}`,
  );
  return dispatchOf(context.profile, {
    label: `attentionBackward queries ${args.headDim}`,
    storage: [
      vectors("queries", args.queries),
      vectors("keys", args.keys),
      vectors("values", args.values),
      vectors("grad_output", args.gradOutput),
      { name: "log_sum_exp", tensor: args.logSumExp, access: "read", element: "f32" },
      { name: "delta", tensor: delta, access: "read", element: "f32" },
      { ...vectors("grad_queries", args.gradQueries), access: "read_write" },
    ],
    uniforms: uniforms(args, dimensions),
    body: `${tileDeclarations(keys, values)}
${
      entryPoint(
        shape.lanes,
        `${queryOwner(shape)}
${ownRow(shape, "query", "queries")}
${ownRow(shape, "grad", "grad_output")}
  let normalizer = log_sum_exp[(batch + token) * parameters.heads + head];
  let mean = delta[(batch + token) * parameters.heads + head];
${unroll(shape.vectors, (d) => `  var sum${d} = vec4<f32>();`)}
${keyLoop(shape, [keys, values], step)}
  if (position < parameters.length) {
${unroll(shape.vectors, (d) => `    grad_queries[own + ${d}u] = sum${d};`)}
  }`,
      )
    }`,
    workgroups: [Math.ceil(args.length / shape.lanes), args.heads, args.batch],
  });
}

/** By blocks of keys, over all query heads that read them: `dV = P^T dO`, `dK = dS^T Q`. */
function gradKeysAndValues(
  context: KernelContext,
  args: Backward,
  dimensions: AttentionDimensions,
  delta: Tensor,
): Dispatch {
  const shape = tileShape(context.profile, args.headDim, 4);
  const queries = rowTile(shape, "queries");
  const grads = rowTile(shape, "grad_output");
  const step = unroll(
    shape.rows,
    (row) =>
      `      let row${row} = (batch + min(start + ${row}u, parameters.length - 1u)) * parameters.heads + head;
${dot(shape, `score${row}`, "key", (d) => queries.vector(row, d))}
      let valid${row} = start + ${row}u < parameters.length && start + ${row}u >= position &&
        start + ${row}u < position + parameters.window;
      let weight${row} = select(
        0.0, exp(score${row} * parameters.scale - log_sum_exp[row${row}]), valid${row});
${dot(shape, `product${row}`, "value", (d) => grads.vector(row, d))}
      let slope${row} = weight${row} * (product${row} - delta[row${row}]) * parameters.scale;
${axpy(shape, "gradValue", `weight${row}`, (d) => grads.vector(row, d))}
${axpy(shape, "gradKey", `slope${row}`, (d) => queries.vector(row, d))}`,
  );
  return dispatchOf(context.profile, {
    label: `attentionBackward keys ${args.headDim}`,
    storage: [
      vectors("queries", args.queries),
      vectors("keys", args.keys),
      vectors("values", args.values),
      vectors("grad_output", args.gradOutput),
      { name: "log_sum_exp", tensor: args.logSumExp, access: "read", element: "f32" },
      { name: "delta", tensor: delta, access: "read", element: "f32" },
      { ...vectors("grad_keys", args.gradKeys), access: "read_write" },
      { ...vectors("grad_values", args.gradValues), access: "read_write" },
    ],
    uniforms: uniforms(args, dimensions),
    body: `${tileDeclarations(queries, grads)}
${
      entryPoint(
        shape.lanes,
        `  let batch = group.z * parameters.length;
  let keyHead = group.y;
  let block = group.x * ${shape.lanes}u;
  let position = block + lane;
  let token = min(position, parameters.length - 1u);
  let own = ((batch + token) * parameters.kvHeads + keyHead) * ${shape.vectors}u;
${ownRow(shape, "key", "keys")}
${ownRow(shape, "value", "values")}
${
          unroll(
            shape.vectors,
            (d) => `  var gradKey${d} = vec4<f32>();\n  var gradValue${d} = vec4<f32>();`,
          )
        }
  let sharing = parameters.heads / parameters.kvHeads;
  let end = min(parameters.length, block + ${shape.lanes - 1}u + parameters.window);
  for (var member = 0u; member < sharing; member++) {
    let head = keyHead * sharing + member;
${
          tileLoop(shape, [queries, grads], {
            first: "block",
            end: "end",
            address: (row) => `((batch + ${row}) * parameters.heads + head) * ${shape.vectors}u`,
            step,
          })
        }
  }
  if (position < parameters.length) {
${
          unroll(
            shape.vectors,
            (d) =>
              `    grad_keys[own + ${d}u] = gradKey${d};\n    grad_values[own + ${d}u] = gradValue${d};`,
          )
        }
  }`,
      )
    }`,
    workgroups: [Math.ceil(args.length / shape.lanes), args.kvHeads, args.batch],
  });
}

/** The invocation's query: `position` in the sequence, `token` clamped into it, `own` its first vector. */
function queryOwner(shape: TileShape): string {
  return `  let batch = group.z * parameters.length;
  let head = group.y;
  let keyHead = head * parameters.kvHeads / parameters.heads;
  let block = group.x * ${shape.lanes}u;
  let position = block + lane;
  let token = min(position, parameters.length - 1u);
  let own = ((batch + token) * parameters.heads + head) * ${shape.vectors}u;`;
}

/** Keys that any query of the block sees. */
function keyLoop(shape: TileShape, tiles: readonly RowTile[], step: string): string {
  return `  let begin = block + 1u - min(parameters.window, block + 1u);
  let end = min(parameters.length, block + ${shape.lanes}u);
${
    tileLoop(shape, tiles, {
      first: "begin",
      end: "end",
      address: (row) => `((batch + ${row}) * parameters.kvHeads + keyHead) * ${shape.vectors}u`,
      step,
    })
  }`;
}

function validKey(row: number): string {
  return `start + ${row}u <= token && token < start + ${row}u + parameters.window`;
}

function ownRow(shape: TileShape, name: string, storage: string): string {
  return unroll(shape.vectors, (d) => `  let ${name}${d} = ${storage}[own + ${d}u];`);
}

/** `var name = own . tile row`. */
function dot(
  shape: TileShape,
  name: string,
  own: string,
  vector: (d: number) => string,
): string {
  return `      var ${name} = 0.0;\n` +
    unroll(shape.vectors, (d) =>
      `      { let other = ${vector(d)};${
        range(4).map((i) => {
          const c = component(i);
          return ` ${name} = fma(${own}${d}.${c}, other.${c}, ${name});`;
        }).join("")
      } }`);
}

/** `sum += factor * tile row`. */
function axpy(
  shape: TileShape,
  sum: string,
  factor: string,
  vector: (d: number) => string,
): string {
  return unroll(
    shape.vectors,
    (d) => `      ${sum}${d} = fma(vec4<f32>(${factor}), ${vector(d)}, ${sum}${d});`,
  );
}

function tileDeclarations(...tiles: readonly RowTile[]): string {
  return tiles.map((tile) => tile.declarations).join("\n");
}

function vectors(name: string, tensor: Tensor): Storage {
  return { name, tensor, access: "read", element: "vec4<f32>" };
}

function uniforms(args: AttentionShape, { window }: AttentionDimensions) {
  return {
    length: u32(args.length),
    heads: u32(args.heads),
    kvHeads: u32(args.kvHeads),
    window: u32(window),
    scale: f32(args.scale),
  };
}
