/**
 * The numbers in kernels that are a choice: sizes of tiles and of workgroups. A static table has them
 * for each class of device; `deno task bench --tune` measures the alternatives on a machine and keeps
 * what it finds in a file (see `tuning_file.ts`). Every alternative computes the same, up to rounding.
 *
 * @module
 */

import type { Profile, Tuning } from "./program.ts";

/** What devices of a class compute with unless they have been measured. */
export const STATIC_TUNING: Readonly<Record<Profile["class"], Tuning>> = {
  software: {
    laneRows: 16,
    laneVectors: 1,
    tileSide: 64,
    tileDepth: 16,
    vectorLanes: 128,
    workgroups: 16,
  },
  generic: {
    laneRows: 16,
    laneVectors: 1,
    tileSide: 64,
    tileDepth: 16,
    vectorLanes: 128,
    workgroups: 256,
  },
  gpu: {
    laneRows: 16,
    laneVectors: 1,
    tileSide: 128,
    tileDepth: 16,
    vectorLanes: 128,
    workgroups: 256,
  },
};

/** The choices of a device. */
export function tuningOf({ class: kind, tuning }: Profile): Tuning {
  return tuning ?? STATIC_TUNING[kind];
}

/** Choices that one measurement decides together, and products to decide them by. */
export interface TuningFamily {
  /** "tiles of large products". */
  readonly name: string;
  /** All that may be chosen, the static choice among them. */
  readonly options: readonly Partial<Tuning>[];
  /** What is measured. */
  readonly products: readonly TuningProduct[];
}

/** A product that stands for many. */
export interface TuningProduct {
  /** A layer forward or backward, or the gradient of an adapter. */
  readonly operation: "linear" | "linearTransposed" | "matmul tn";
  /** Rows; the reduction of `matmul tn`. */
  readonly M: number;
  /** Inputs of the layer. */
  readonly K: number;
  /** Outputs of the layer. */
  readonly N: number;
}

const SOFTWARE: readonly TuningFamily[] = [
  {
    name: "tiles of lanes",
    options: combinations({ laneRows: [16, 8], laneVectors: [1, 2] }),
    products: [
      { operation: "linear", M: 256, K: 256, N: 256 },
      { operation: "linearTransposed", M: 256, K: 256, N: 256 },
    ],
  },
  {
    name: "slices of reductions",
    options: combinations({ workgroups: [16, 32] }),
    products: [{ operation: "matmul tn", M: 2048, K: 128, N: 16 }],
  },
];

const HARDWARE: readonly TuningFamily[] = [
  {
    name: "tiles of large products",
    options: combinations({ tileSide: [64, 128], tileDepth: [16, 8] }),
    products: [
      { operation: "linear", M: 2048, K: 4096, N: 4096 },
      { operation: "linearTransposed", M: 2048, K: 4096, N: 4096 },
    ],
  },
  {
    name: "products of one row",
    options: combinations({ vectorLanes: [64, 128, 256] }),
    products: [{ operation: "linear", M: 1, K: 4096, N: 4096 }],
  },
  {
    name: "slices of reductions",
    options: combinations({ workgroups: [128, 256] }),
    products: [{ operation: "matmul tn", M: 2048, K: 4096, N: 16 }],
  },
];

/** What can be chosen on devices of a class. */
export function tuningFamilies({ class: kind }: Pick<Profile, "class">): readonly TuningFamily[] {
  return kind === "software" ? SOFTWARE : HARDWARE;
}

/** The choices in a few words, for the class of a device. */
export function tuningName(tuning: Tuning): string {
  return Object.entries(tuning).map(([name, choice]) => `${name}=${choice}`).join(",");
}

/** Whether a value read from elsewhere is a choice for devices of a class. */
export function isTuning(value: unknown, profile: Pick<Profile, "class">): value is Tuning {
  if (typeof value !== "object" || value === null) return false;
  const found = value as Record<string, unknown>;
  const known = STATIC_TUNING[profile.class];
  const free = new Map<string, unknown[]>();
  for (const option of tuningFamilies(profile).flatMap(({ options }) => options)) {
    for (const [name, choice] of Object.entries(option)) {
      free.set(name, [...free.get(name) ?? [], choice]);
    }
  }
  return Object.keys(found).length === Object.keys(known).length &&
    Object.entries(known).every(([name, choice]) =>
      (free.get(name) ?? [choice]).includes(found[name])
    );
}

/** All combinations of the choices for each name. */
function combinations(choices: { [Name in keyof Tuning]?: Tuning[Name][] }): Partial<Tuning>[] {
  return Object.entries(choices).reduce<Partial<Tuning>[]>(
    (all, [name, values]) =>
      all.flatMap((option) => values.map((value) => ({ ...option, [name]: value }))),
    [{}],
  );
}
