/**
 * What the driver and the programs it compares say to each other: one JSON object a line, requests on
 * the standard input of a program, replies on its standard output. A program times calls of what it was
 * asked to prepare; how many calls, in what order and with what statistics is the driver's to say.
 *
 * @module
 */

/** A model: its `config.json`, and a folder if its weights are not random. */
export interface PeerModel {
  /** The parsed file, as far as it decides what is computed. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Of `*.safetensors`. */
  readonly folder?: string;
}

/** How the weights of linear layers are stored: f32, or 4 bits in the program's own format. */
export type PeerWeight = "f32" | "int4";

/** What to time. */
export type Workload =
  /** A call is `x W^T`, `x [tokens, inputs]`. Work: operations, a multiply-add as two. */
  | {
    readonly kind: "linear";
    readonly tokens: number;
    readonly inputs: number;
    readonly outputs: number;
    readonly weight: PeerWeight;
  }
  /** A call is an optimizer step: forward, backward, clip at 1, AdamW. Work: tokens. */
  | {
    readonly kind: "train";
    readonly model: PeerModel;
    readonly method: "lora" | "full";
    readonly rank: number;
    readonly weight: PeerWeight;
    readonly batch: number;
    readonly length: number;
  }
  /** A call is the losses of a batch. Work: tokens. */
  | {
    readonly kind: "evaluate";
    readonly model: PeerModel;
    readonly weight: PeerWeight;
    readonly batch: number;
    readonly length: number;
  }
  /** A call reads a prompt of `length` tokens from an empty context. Work: tokens. */
  | {
    readonly kind: "prompt";
    readonly model: PeerModel;
    readonly weight: PeerWeight;
    readonly length: number;
  }
  /** A call generates `length` tokens one by one, greedily, after a prompt of 1. Work: tokens. */
  | {
    readonly kind: "generate";
    readonly model: PeerModel;
    readonly weight: PeerWeight;
    readonly length: number;
  }
  /**
   * A call is nothing but multiply-adds on registers, with the widest vectors there are or with those
   * of WebAssembly itself. Work: operations.
   */
  | { readonly kind: "ceiling"; readonly vectors: "widest" | "128 bits" };

/** What the driver asks. */
export type PeerRequest =
  | { readonly do: "describe" }
  | { readonly do: "prepare"; readonly workload: Workload }
  | { readonly do: "time"; readonly calls: number }
  | { readonly do: "release" };

/** What a program answers: the fields that belong to the request, or one of the last two. */
export interface PeerReply {
  /** To `describe`: name and versions of what computes. */
  readonly version?: string;
  /** To `prepare`: a number that is about the same in all programs (a loss), or null. */
  readonly value?: number | null;
  /** To `prepare`: what differs from the workload; empty if nothing does. */
  readonly note?: string;
  /** To `prepare`: work of one call where only the program knows it. */
  readonly work?: number;
  /** To `time`. */
  readonly seconds?: number;
  /** The program cannot do this, and why. */
  readonly unsupported?: string;
  /** Something broke. */
  readonly error?: string;
}

/** Work of one call in {@linkcode unitOf}; null where only the program can say. */
export function workOf(workload: Workload): number | null {
  switch (workload.kind) {
    case "linear":
      return 2 * workload.tokens * workload.inputs * workload.outputs;
    case "train":
    case "evaluate":
      return workload.batch * workload.length;
    case "prompt":
    case "generate":
      return workload.length;
    case "ceiling":
      return null;
  }
}

/** What {@linkcode workOf} counts, and the unit in which its rate is shown. */
export function unitOf(workload: Workload): { readonly name: string; readonly scale: number } {
  return workload.kind === "linear" || workload.kind === "ceiling"
    ? { name: "GFLOP/s", scale: 1e9 }
    : { name: "tokens/s", scale: 1 };
}
