/**
 * What is compared with what.
 *
 * @module
 */

import { join } from "node:path";
import { MODEL_SHAPES, type ModelName } from "../../pipeline/bench/models.ts";
import type { PeerModel, PeerWeight, Workload } from "./protocol.ts";

/** Programs that take part; `equipoise` is this one. */
export type ProgramName =
  | "equipoise"
  | "pytorch"
  | "pytorch-f32-gpu"
  | "pytorch-bf16-gpu"
  | "peft-gpu"
  | "llama.cpp"
  | "jax";

/** One side of a comparison. */
export interface Side {
  /** Who. */
  readonly program: ProgramName;
  /** What. */
  readonly workload: Workload;
}

/** Least speed of the first side, as a share of the second's or of a ceiling of our device. */
export interface Wanted {
  /** The ceiling is that of vectors of 128 bits, which WebAssembly has everywhere. */
  readonly of: "second" | "ceiling";
  /** 1 for "as fast". */
  readonly share: number;
}

/** Two sides, and what is hoped for. */
export interface ComparisonPlan {
  /** "f32 product, 512x768 -> 768". */
  readonly title: string;
  /** Ours. */
  readonly first: Side;
  /** What it is measured by. */
  readonly second: Side;
  /** What is hoped for; null if only the numbers count. */
  readonly wanted: Wanted | null;
}

/** Named groups of comparisons. */
export type SetName = "acceptance" | "pytorch" | "llama.cpp" | "jax" | "gpu";

/** All groups; the first is the default. */
export const SETS: readonly SetName[] = ["acceptance", "pytorch", "llama.cpp", "jax", "gpu"];

/**
 * The comparisons of a group.
 *
 * @param data Folder with `models/tinystories-656k`; without it that model has random weights.
 */
export function comparisons(set: SetName, data: string | undefined): ComparisonPlan[] {
  const tiny = model("tinystories-656k", data);
  const small = model("15M", data);
  switch (set) {
    case "acceptance":
      return [
        // 30 GFLOP/s where the ceiling is 45.
        versus("pytorch", linear(512, 768, 768), { of: "ceiling", share: 2 / 3 }),
        {
          title: "int4 against f32, 512x768 -> 768",
          first: { program: "equipoise", workload: linear(512, 768, 768, "int4").workload },
          second: { program: "equipoise", workload: linear(512, 768, 768).workload },
          wanted: { of: "second", share: 1 },
        },
        versus("pytorch", lora(tiny, 8, 256), { of: "second", share: 1 }),
        versus("pytorch", lora(small, 8, 256), { of: "second", share: 0.5 }),
      ];
    case "pytorch":
      return [
        ...[[1, 768, 768], [16, 768, 768], [2048, 288, 768], [512, 768, 2048], [64, 4096, 4096]]
          .map(([tokens = 0, inputs = 0, outputs = 0]) =>
            versus("pytorch", linear(tokens, inputs, outputs))
          ),
        versus("pytorch", full(tiny, 8, 256)),
        versus("pytorch", evaluate(tiny, 8, 256)),
        versus("pytorch", full(small, 4, 256)),
        versus("pytorch", evaluate(small, 8, 256)),
        versus("pytorch", lora(model("110M", data), 1, 256)),
        versus("pytorch", evaluate(model("110M", data), 1, 256)),
      ];
    case "llama.cpp":
      return (["tinystories-656k", "15M", "110M"] as const).flatMap((name) => [
        versus("llama.cpp", prompt(model(name, undefined), 256)),
        versus("llama.cpp", generate(model(name, undefined), 128)),
      ]);
    case "jax":
      return [
        versus("jax", linear(512, 768, 768)),
        versus("jax", linear(64, 4096, 4096)),
        versus("jax", evaluate(model("brown-525k", undefined), 4, 128)),
      ];
    case "gpu":
      return GPU_PROGRAMS.flatMap((program) => [
        versus(program, lora(model("1.1B", data), 4, 1024)),
        versus(program, lora(model("7B", data), 1, 2048)),
        ...[1, 16, 512, 2048].map((tokens) =>
          versus(
            program,
            linear(tokens, 4096, 11008, program === "pytorch-bf16-gpu" ? "int4" : "f32"),
          )
        ),
      ]);
  }
}

const GPU_PROGRAMS = ["pytorch-f32-gpu", "pytorch-bf16-gpu", "peft-gpu"] as const;

interface NamedModel extends PeerModel {
  readonly name: ModelName;
}

/** Real weights where there are some, else random ones of the same shape. */
function model(name: ModelName, data: string | undefined): NamedModel {
  const config = { ...MODEL_SHAPES[name] };
  return name === "tinystories-656k" && data !== undefined
    ? { name, config, folder: join(data, "models", name) }
    : { name, config };
}

/** The same workload on both sides; ours has 4-bit weights where it trains adapters. */
function versus(
  program: Exclude<ProgramName, "equipoise">,
  { title, workload }: { readonly title: string; readonly workload: Workload },
  wanted: Wanted | null = null,
): ComparisonPlan {
  return {
    title,
    first: { program: "equipoise", workload },
    second: { program, workload },
    wanted,
  };
}

function linear(tokens: number, inputs: number, outputs: number, weight: PeerWeight = "f32") {
  const workload: Workload = { kind: "linear", tokens, inputs, outputs, weight };
  return { title: `${weight} product, ${tokens}x${inputs} -> ${outputs}`, workload };
}

/** Adapters of rank 16 on all linear layers, over 4-bit weights where the program has such. */
function lora(model: NamedModel, batch: number, length: number) {
  const sizes = { model, rank: 16, weight: "int4", batch, length } as const;
  const workload: Workload = { kind: "train", method: "lora", ...sizes };
  return { title: `LoRA training r16, ${model.name}, ${batch}x${length}`, workload };
}

function full(model: NamedModel, batch: number, length: number) {
  const sizes = { model, rank: 0, weight: "f32", batch, length } as const;
  const workload: Workload = { kind: "train", method: "full", ...sizes };
  return { title: `full training, ${model.name}, ${batch}x${length}`, workload };
}

function evaluate(model: NamedModel, batch: number, length: number) {
  const workload: Workload = { kind: "evaluate", model, weight: "f32", batch, length };
  return { title: `f32 evaluation, ${model.name}, ${batch}x${length}`, workload };
}

function prompt(model: NamedModel, length: number) {
  const workload: Workload = { kind: "prompt", model, weight: "int4", length };
  return { title: `4-bit prompt of ${length}, ${model.name}`, workload };
}

function generate(model: NamedModel, length: number) {
  const workload: Workload = { kind: "generate", model, weight: "int4", length };
  return { title: `4-bit generation of ${length}, ${model.name}`, workload };
}
