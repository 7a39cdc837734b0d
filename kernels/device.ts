/**
 * The Device contract: memory and operations of one computing device, stated once, with shapes.
 *
 * Three rules hold for every implementation:
 *
 * 1. Operations are *recorded* once into a {@linkcode Recording} and replayed by
 *    {@linkcode Device.run}. Nothing is awaited in between. Whatever changes from one replay to the
 *    next (tokens, learning rate, random keys) lives in a tensor that {@linkcode Device.write} fills.
 * 2. Every operation writes to tensors its caller allocated. Gradients of *parameters* are added to
 *    what is there (the caller zeroes them with {@linkcode Operations.fill}); gradients of
 *    *activations* overwrite unless `accumulate` is true.
 * 3. Reductions have a fixed order: on one device, equal inputs give equal bits.
 *
 * Matrices are row-major. `T` is the number of tokens (batch times length), `M` any number of rows,
 * `K` input features, `N` output features, `R` the rank of an adapter.
 *
 * @module
 */

/** Element type of a tensor. `reference` holds `f32` tensors in float64. */
export type DType = "f32" | "u32";

/** A handle on device memory; only the device that made it can read it. */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Number of elements, the product of `shape`. */
  readonly size: number;
  /** Shown in error messages and memory listings. */
  readonly label: string;
}

/** A matrix `[rows, columns]` of plain f32 values. */
export interface DenseWeight {
  readonly format: "dense";
  readonly rows: number;
  readonly columns: number;
  /** `[rows, columns]` f32. */
  readonly values: Tensor;
}

/** Widths of integer codes that kernels can read packed. */
export type IntegerBits = 1 | 2 | 3 | 4 | 8;

/**
 * A matrix of unsigned integer codes with one scale and one float zero per block of
 * `blockRows x blockColumns` weights: `w = scale * (code - zero)`.
 *
 * `blockColumns` is the group size and divides `columns`; `blockRows` divides `rows` and is 1 except
 * for the two-dimensional blocks of QA-BLoRA. Zeros are floats because a merged adapter moves them by
 * fractions of a step. The packing of codes is defined in `packing.ts`.
 */
export interface IntegerWeight {
  readonly format: "integer";
  readonly rows: number;
  readonly columns: number;
  readonly bits: IntegerBits;
  readonly blockRows: number;
  readonly blockColumns: number;
  /** `[rows, codeWords(bits, columns)]` u32. */
  readonly codes: Tensor;
  /** `[rows / blockRows, columns / blockColumns]` f32. */
  readonly scales: Tensor;
  /** `[rows / blockRows, columns / blockColumns]` f32. */
  readonly zeros: Tensor;
}

/** Weights that share one absmax in NF4, consecutive inputs of one row. */
export const NF4_BLOCK = 64;

/** Absmax values that share one second-level scale under double quantization. */
export const NF4_ABSMAX_BLOCK = 256;

/**
 * A matrix of 4-bit NormalFloat codes: `w = NF4[code] * absmax(block)`, blocks of
 * {@linkcode NF4_BLOCK} consecutive inputs (`columns` is a multiple of it), blocks counted row-major.
 */
export interface Nf4Weight {
  readonly format: "nf4";
  readonly rows: number;
  readonly columns: number;
  /** `[rows, codeWords(4, columns)]` u32, packed like 4-bit integers. */
  readonly codes: Tensor;
  readonly absmax: Nf4Absmax;
}

/** The block maxima of an NF4 weight: plain, or themselves quantized to 8 bits (QLoRA, section 3). */
export type Nf4Absmax =
  | {
    readonly kind: "plain";
    /** `[rows * columns / 64]` f32. */
    readonly values: Tensor;
  }
  | {
    /** `absmax = DYNAMIC_MAP[code] * scale(block of 256) + offset`. */
    readonly kind: "double";
    /** `[ceil(rows * columns / 64 / 4)]` u32, four 8-bit codes per word, lowest byte first. */
    readonly codes: Tensor;
    /** `[ceil(rows * columns / 64 / 256)]` f32. */
    readonly scales: Tensor;
    /** `[1]` f32, the mean of all block maxima. */
    readonly offset: Tensor;
  };

/** Values that a row of a block of a codebook weight chooses from; its codes have 3 bits. */
export const CODEBOOK_LEVELS = 8;

/**
 * A matrix of 3-bit codes with {@linkcode CODEBOOK_LEVELS} values of its own for every row of a block
 * of columns: `w = levels[row, block][code]`. It holds whatever has few values on no grid, such as sums
 * of binary terms.
 */
export interface CodebookWeight {
  readonly format: "codebook";
  readonly rows: number;
  readonly columns: number;
  /** Columns of a block: a multiple of 32 that divides `columns`. */
  readonly blockColumns: number;
  /** `[rows, codeWords(3, columns)]` u32, packed like 3-bit integers. */
  readonly codes: Tensor;
  /** `[rows, columns / blockColumns, 8]` f32. */
  readonly levels: Tensor;
}

/** The weight of a linear layer `y = x W^T` in any of the formats that kernels read directly. */
export type Weight = DenseWeight | IntegerWeight | Nf4Weight | CodebookWeight;

/** How rotary embeddings pair features: `half` pairs `i` with `i + d/2`, `interleaved` `2i` with `2i + 1`. */
export type RopeLayout = "half" | "interleaved";

/** Drops elements of an adapter's (pooled) input with probability `rate` and rescales the rest. */
export interface Dropout {
  /** In [0, 1). */
  readonly rate: number;
  /** `[2]` u32: key of the counter-based generator; the caller writes a new one for every step. */
  readonly key: Tensor;
  /** Separates the masks of different layers under one key. */
  readonly stream: number;
}

/** The adapter product `output += scale * repeat(dropout(pool(input)) A^T B^T)`. */
export interface LowRank {
  /** `[M, K]`. */
  readonly input: Tensor;
  /** `[R, K / pool]`; null stands for the identity (`R = K / pool`), the single matrix of QA-HiRA. */
  readonly a: Tensor | null;
  /** `[N / repeat, R]`. */
  readonly b: Tensor;
  /** Width of average pooling over input features; divides K. */
  readonly pool: number;
  /** Width of repetition over output features; divides N. */
  readonly repeat: number;
  readonly scale: number;
  readonly dropout?: Dropout;
}

/** One linear layer of a group that shares its input; see {@linkcode Operations.linearGroup}. */
export interface GroupedLinear {
  /** `[N, K]`. */
  readonly weight: Weight;
  /** `[N]`. */
  readonly bias?: Tensor;
  /** An adapter on the layer; its `hidden [M, R]` is saved for the backward pass. */
  readonly adapter?: Omit<LowRank, "input"> & { readonly hidden: Tensor };
  /** `[M, N]`. */
  readonly output: Tensor;
}

/** Shape of one attention: queries `[T, heads * headDim]`, keys and values `[T, kvHeads * headDim]`. */
export interface AttentionShape {
  /** Sequences; `T = batch * length`. */
  readonly batch: number;
  readonly length: number;
  readonly heads: number;
  /** Divides `heads`; query head `h` reads key head `floor(h * kvHeads / heads)`. */
  readonly kvHeads: number;
  /** A multiple of 4, so that kernels can read heads in vectors. */
  readonly headDim: number;
  /** Factor on the dot products, usually `1 / sqrt(headDim)`. */
  readonly scale: number;
  /** Sliding window: a query sees itself and at most `window - 1` tokens before it. Default: all. */
  readonly window?: number;
}

/**
 * Keys and values of the tokens that sequences consist of so far, and where the next ones go. What
 * changes from token to token is in tensors, so that one recording generates a whole text.
 */
export interface KeyValueCache {
  /** `[rows, capacity, kvHeads * headDim]`. */
  readonly keyCache: Tensor;
  /** Like `keyCache`. */
  readonly valueCache: Tensor;
  /**
   * `[batch]` u32: the row of the cache that belongs to each sequence of the batch. Sequences may
   * share a row if their new tokens have different positions: they are parts of one text, and those
   * that come later see those before them.
   */
  readonly slots: Tensor;
  /** `[batch]` u32: tokens that each sequence has in the cache, the position of its first new one. */
  readonly positions: Tensor;
}

/** A frozen weight and the clip logits that set the grid of each of its groups. */
export interface ClippedGrid {
  /** `[rows, columns]`. */
  readonly weight: Tensor;
  /** Logits of the share of the largest weight that is kept; `rows * columns / groupSize` in all. */
  readonly upper: Tensor;
  /** Like `upper`, for the least weight. */
  readonly lower: Tensor;
  /** Consecutive columns of one row that share a grid; divides `columns`. */
  readonly groupSize: number;
  readonly bits: IntegerBits;
  /** Whether zero is the middle of the codes (`bits` is then at least 2). */
  readonly symmetric: boolean;
  /** Whether zero is always a value of the grid. */
  readonly containsZero: boolean;
}

/** What a recording may call. Shapes are checked when an operation is recorded. */
export interface Operations {
  /** `output[...] = value`, any shape; for u32 tensors `value` is an unsigned integer. */
  fill(args: { output: Tensor; value: number }): void;
  /** `output = input`, equal sizes. */
  copy(args: { input: Tensor; output: Tensor }): void;
  /** `output = left + right`, equal sizes; `output` may be `left` or `right`. */
  add(args: { left: Tensor; right: Tensor; output: Tensor }): void;

  /** `output [M, N] (+)= input [M, K] weight^T (+ bias [N])`. */
  linear(
    args: {
      input: Tensor;
      weight: Weight;
      bias?: Tensor;
      output: Tensor;
      accumulate?: boolean;
    },
  ): void;
  /** `gradInput [M, K] (+)= gradOutput [M, N] weight`: the backward of {@linkcode Operations.linear}. */
  linearTransposed(
    args: { gradOutput: Tensor; weight: Weight; gradInput: Tensor; accumulate?: boolean },
  ): void;
  /**
   * `output (+)= scale * left right`, each factor optionally transposed in place:
   * nn `[M,K][K,N]`, nt `[M,K][N,K]`, tn `[K,M][K,N]`. `scale` defaults to 1.
   */
  matmul(
    args: {
      left: Tensor;
      right: Tensor;
      output: Tensor;
      orientation: "nn" | "nt" | "tn";
      scale?: number;
      accumulate?: boolean;
    },
  ): void;
  /** `output [N] += sum over rows of input [M, N]`: the gradient of a bias. */
  columnSum(args: { input: Tensor; output: Tensor }): void;
  /** `output [rows, columns] = weight` in f32; for tests and for merging into 16-bit weights. */
  dequantize(args: { weight: Weight; output: Tensor }): void;

  /** Adds an adapter's product to `output [M, N]` and saves `hidden [M, R]` for the backward pass. */
  lowRank(args: LowRank & { hidden: Tensor; output: Tensor }): void;
  /**
   * Gradients of {@linkcode Operations.lowRank}: adds to those of `gradA`, `gradB` and
   * `gradInput [M, K]` that are not null (`gradInput` too: the frozen path has written it before).
   * `hidden` is read for `gradB` only.
   */
  lowRankBackward(
    args: LowRank & {
      hidden: Tensor;
      gradOutput: Tensor;
      gradA: Tensor | null;
      gradB: Tensor | null;
      gradInput: Tensor | null;
    },
  ): void;

  /**
   * Linear layers that share `input [M, K]`, such as queries, keys and values: for each of them what
   * {@linkcode Operations.linear} and, with an adapter, {@linkcode Operations.lowRank} compute, but
   * in as few passes as the device can. Outputs are different tensors.
   */
  linearGroup(
    args: { input: Tensor; layers: readonly GroupedLinear[]; accumulate?: boolean },
  ): void;
  /**
   * `gradInput [M, K] (+)= sum over layers of gradOutput [M, N] weight [N, K]`: the backward of the
   * weights of {@linkcode Operations.linearGroup}. The layers have their own N.
   */
  linearGroupTransposed(
    args: {
      layers: readonly { readonly gradOutput: Tensor; readonly weight: Weight }[];
      gradInput: Tensor;
      accumulate?: boolean;
    },
  ): void;

  /** `output [T, D] = table[tokens]`, `tokens [T]` u32, `table [V, D]`. */
  embedding(args: { tokens: Tensor; table: Tensor; output: Tensor }): void;
  /**
   * `gradTable[v] += sum of gradOutput[t] over tokens t with id v`. The caller supplies the inverse
   * index, so that the sum has a fixed order without atomics: `order [T]` lists token positions
   * sorted by id (stable), `offsets [V + 1]` where each id's run starts.
   */
  embeddingBackward(
    args: { gradOutput: Tensor; order: Tensor; offsets: Tensor; gradTable: Tensor },
  ): void;

  /** `output [M, D] = input / sqrt(mean(input^2) + epsilon) * weight [D]`. */
  rmsNorm(args: { input: Tensor; weight: Tensor; output: Tensor; epsilon: number }): void;
  /**
   * `sum = input + residual`, `output = rmsNorm(sum)`, all `[M, D]`: the end of one half of a block
   * and the beginning of the next. `sum` may be `input` or `residual`.
   */
  addRmsNorm(
    args: {
      input: Tensor;
      residual: Tensor;
      weight: Tensor;
      sum: Tensor;
      output: Tensor;
      epsilon: number;
    },
  ): void;
  /** Overwrites (or adds to) `gradInput`; adds to `gradWeight` unless it is null. */
  rmsNormBackward(
    args: {
      input: Tensor;
      weight: Tensor;
      gradOutput: Tensor;
      gradInput: Tensor;
      gradWeight: Tensor | null;
      epsilon: number;
      accumulate?: boolean;
    },
  ): void;

  /**
   * Rotates `values [T, heads * headDim]` in place; token `t` is at position `t % length`, after
   * `positions[floor(t / length)]` others if `positions [T / length]` u32 is given.
   * `cosines`, `sines`: `[positions, rotaryDim / 2]`, whose last row stands for all positions beyond;
   * features beyond `rotaryDim` stay. `inverse` rotates back, which is also the backward pass.
   */
  rope(
    args: {
      values: Tensor;
      cosines: Tensor;
      sines: Tensor;
      heads: number;
      headDim: number;
      length: number;
      layout: RopeLayout;
      inverse?: boolean;
      positions?: Tensor;
    },
  ): void;

  /**
   * Causal grouped-query attention without materialised scores. Saves the log-sum-exp of each query
   * in `logSumExp [T, heads]` (natural logarithm, scale included).
   *
   * With `starts [T]` u32, sequences are packed: several examples lie in one, and a token sees none
   * before `starts[t]`, the position in its sequence where its own example starts. So `starts[t]` is at
   * most `t % length`, and does not fall from one token of a sequence to the next.
   */
  attention(
    args: AttentionShape & {
      queries: Tensor;
      keys: Tensor;
      values: Tensor;
      output: Tensor;
      logSumExp: Tensor;
      starts?: Tensor;
    },
  ): void;
  /** Overwrites `gradQueries`, `gradKeys`, `gradValues`. */
  attentionBackward(
    args: AttentionShape & {
      queries: Tensor;
      keys: Tensor;
      values: Tensor;
      output: Tensor;
      logSumExp: Tensor;
      gradOutput: Tensor;
      gradQueries: Tensor;
      gradKeys: Tensor;
      gradValues: Tensor;
      starts?: Tensor;
    },
  ): void;

  /**
   * Writes the keys and values of new tokens `[batch * length, kvHeads * headDim]` into a cache: token
   * i of sequence b goes to position `positions[b] + i` of row `slots[b]`, or nowhere if that is
   * beyond the cache.
   */
  appendToCache(args: KeyValueCache & { keys: Tensor; values: Tensor }): void;
  /**
   * {@linkcode Operations.attention} of new queries `[batch * length, heads * headDim]` to a cache that
   * already has their own keys: query i of sequence b is at position `positions[b] + i`, and sees
   * that position and those before it in row `slots[b]`. Queries beyond the cache see what one at its
   * last position sees.
   */
  cachedAttention(args: AttentionShape & KeyValueCache & { queries: Tensor; output: Tensor }): void;
  /**
   * Draws the next token of each row of `logits [batch, V]`.
   *
   * With temperature 0 it is the likeliest one, the first of equals. Else it is drawn from
   * `softmax(logits / temperature)` over the tokens that `topK` and then `topP` leave: those whose
   * logit is at least the `topK`-th largest; of these the likeliest, until their share of the
   * probability is at least `topP`. Equal logits stay or go together. The draw takes
   * `u = floor(threefry(keys[b], [counters[b], 0])[0] / 2^8) / 2^24` (see `random.ts`) and gives the
   * first token at which the sum of probabilities, in order of ids, exceeds `u` times their total.
   *
   * `logProbabilities [batch]` is the natural logarithm of the token's probability under
   * `softmax(logits)`, whatever the settings; it is NaN where a logit is, and the token then any.
   */
  sample(
    args: {
      logits: Tensor;
      /** `[batch, 2]` u32. */
      keys: Tensor;
      /** `[batch]` u32. */
      counters: Tensor;
      /** Not negative. */
      temperature: number;
      /** A positive integer. Default: all. */
      topK?: number;
      /** In (0, 1]. Default: 1, all. */
      topP?: number;
      /** `[batch]` u32. */
      tokens: Tensor;
      logProbabilities: Tensor;
    },
  ): void;

  /** `output = silu(gate) * up`, equal sizes. */
  swiglu(args: { gate: Tensor; up: Tensor; output: Tensor }): void;
  /** Overwrites `gradGate` and `gradUp`; they may be the tensors `gate` and `up` themselves. */
  swigluBackward(
    args: { gate: Tensor; up: Tensor; gradOutput: Tensor; gradGate: Tensor; gradUp: Tensor },
  ): void;

  /**
   * Cross-entropy of `softmax(hidden [T, D] head^T)` against `targets [T]`, in chunks of tokens, so
   * that the logits of a batch never exist at once.
   *
   * `losses[t] = -log p(targets[t])` for every t with `weights[t] != 0` and 0 elsewhere (unweighted:
   * the caller averages). With gradients, the differentiated scalar is `sum_t weights[t] losses[t]`:
   * `gradHidden [T, D]` is overwritten, `gradHead [V, D]` (dense heads only) is added to.
   */
  crossEntropy(
    args: {
      hidden: Tensor;
      head: Weight;
      targets: Tensor;
      weights: Tensor;
      losses: Tensor;
      gradHidden?: Tensor;
      gradHead?: Tensor;
    },
  ): void;
  /** `output [1] = sum_t weights[t] losses[t]`. */
  weightedSum(args: { values: Tensor; weights: Tensor; output: Tensor }): void;
  /**
   * `losses[m] = sum_n (prediction[m, n] - target[m, n])^2`, both `[M, N]`. With a gradient, the
   * differentiated scalar is `scale * sum_m losses[m]`:
   * `gradient [M, N] (+)= 2 scale (prediction - target)`.
   */
  squaredError(
    args: {
      prediction: Tensor;
      target: Tensor;
      scale: number;
      /** `[M]`, overwritten. */
      losses: Tensor;
      gradient?: Tensor;
      accumulate?: boolean;
    },
  ): void;

  /**
   * Writes what a frozen weight becomes on a grid whose ends are learned. For the weights w of each
   * group, with `s = sigmoid` and `L = 2^bits - 1`:
   *
   * `high = s(upper) max(w)`, `low = s(lower) min(w)`; with `containsZero`, `max(w, 0)` and
   * `min(w, 0)` instead;
   * asymmetric: `scale = clamp((high - low) / L, 1e-5, 1e4)`,
   * `zero = round(clamp(-low / scale, -1e4, 1e4))`;
   * symmetric: `scale = clamp(max(|high|, |low|) / (2^(bits - 1) - 1), 1e-5, 1e4)`,
   * `zero = 2^(bits - 1) - 1`;
   * `output = scale (clamp(round(w / scale) + zero, 0, L) - zero)`, halves rounded to even.
   *
   * Without `containsZero`, `zero` may lie outside `[0, L]` (as ApiQ has it).
   */
  clippedQuantize(args: ClippedGrid & { output: Tensor }): void;
  /**
   * Adds the gradients of both clip logits, given that of the output. Only the inner rounding is
   * passed straight through; a clamped code blocks its weight, and the rounded `zero` is a constant,
   * so that the logits learn through `scale` alone:
   *
   * `d output / d scale = code - zero`, and for a code that was not clamped also
   * `scale * d(w / scale) / d scale = -w / scale`, together `round(w / scale) - w / scale`;
   * `d scale / d upper = max(w) s'(upper) / L` and `d scale / d lower = -min(w) s'(lower) / L`, where
   * `s' = s (1 - s)`; symmetric: `|max(w)| s'(upper) / (2^(bits - 1) - 1)` if `|high| >= |low|`,
   * else likewise for `lower`; 0 for both where `scale` is clamped.
   */
  clippedQuantizeBackward(
    args: ClippedGrid & { gradOutput: Tensor; gradUpper: Tensor; gradLower: Tensor },
  ): void;

  /** `output [M, C] = input[:, order]`, `input [M, K]`; `order [C]` u32 has indices below K. */
  gatherColumns(args: { input: Tensor; order: Tensor; output: Tensor }): void;
  /**
   * `output[:, order] += input`, `input [M, C]`, `output [M, K]`: the transpose of
   * {@linkcode Operations.gatherColumns}. The indices of `order [C]` u32 are below K and all differ.
   */
  scatterColumns(args: { input: Tensor; order: Tensor; output: Tensor }): void;

  /**
   * Global gradient-norm clipping: `output[0] = norm` over all `gradients` together, `output[1]` =
   * the factor `min(1, maxNorm / (norm + 1e-6))` (PyTorch's `clip_grad_norm_`), 1 if `maxNorm` is
   * Infinity.
   */
  gradientNorm(args: { gradients: readonly Tensor[]; maxNorm: number; output: Tensor }): void;
  /**
   * One AdamW step (Loshchilov & Hutter 2019, Algorithm 2, as PyTorch orders it) on flat tensors of
   * equal size. `hyper [8]` f32, written by the host before every step: learning rate, beta1, beta2,
   * epsilon, weight decay, 1 - beta1^t, 1 - beta2^t, unused. `norm [2]` comes from
   * {@linkcode Operations.gradientNorm}; gradients are multiplied by `norm[1]`.
   */
  adamw(
    args: {
      parameters: Tensor;
      gradients: Tensor;
      moment1: Tensor;
      moment2: Tensor;
      hyper: Tensor;
      norm: Tensor;
    },
  ): void;
}

/** How operations are compiled. */
export interface RecordOptions {
  /**
   * Chooses kernels without regard to the number of rows, so that forward operations give a row of
   * their output the same bits however many rows there are: for results that must not depend on what
   * else is computed at the same time. Slower for few rows.
   *
   * @default false
   */
  readonly independentRows?: boolean;
}

/** Operations recorded once, with every binding resolved; belongs to one device. */
export interface Recording {
  readonly label: string;
  /** Dispatches (webgpu) or calls (reference) in one replay. */
  readonly length: number;
  /** Frees scratch memory that belongs to this recording only. */
  release(): void;
}

/** What a device is: goes into results as provenance and, by `class`, into cache keys. */
export interface DeviceInfo {
  readonly name: "reference" | "webgpu" | "cpu";
  /** Devices of one class give equal bits for equal work: implementation, adapter, driver version. */
  readonly class: string;
  /** For people: "llvmpipe (LLVM 15.0.6, 256 bits)". */
  readonly description: string;
  /** Largest tensor in bytes. */
  readonly maxTensorBytes: number;
}

/** Bytes held by live tensors (views count once, scratch included). */
export interface DeviceMemory {
  readonly current: number;
  readonly peak: number;
}

/** One computing device. See the module documentation for the rules. */
export interface Device {
  readonly info: DeviceInfo;
  /**
   * Allocates zero-filled memory.
   *
   * @throws {RangeError} If the tensor is larger than `info.maxTensorBytes`.
   */
  tensor(dtype: DType, shape: readonly number[], label: string): Tensor;
  /** A part of a contiguous tensor, `offset` elements in (a multiple of {@linkcode VIEW_ALIGNMENT}). */
  view(tensor: Tensor, offset: number, shape: readonly number[], label?: string): Tensor;
  /** Frees an allocated tensor (not a view). Using it afterwards is an error. */
  free(tensor: Tensor): void;
  /** Queues a host-to-device copy, ordered with {@linkcode Device.run}; `data` may be reused at once. */
  write(
    tensor: Tensor,
    data: Float32Array | Float64Array | Uint32Array,
    offset?: number,
  ): void;
  /** Queues a device-to-device copy of `count` elements, ordered with {@linkcode Device.run}. */
  copy(
    source: Tensor,
    sourceOffset: number,
    destination: Tensor,
    destinationOffset: number,
    count: number,
  ): void;
  /**
   * Waits for queued work and reads a tensor of dtype f32. Float64Array on `reference`.
   *
   * @param into Memory for the result, which starts it; new memory if absent. Reading many tensors
   * into new memory leaves more garbage than they hold: collectors are late with large arrays.
   * @throws {RangeError} If `into` is too small.
   */
  readFloats(tensor: Tensor, into?: ArrayBuffer): Promise<Float32Array | Float64Array>;
  /** Waits for queued work and reads a tensor of dtype u32. */
  readWords(tensor: Tensor): Promise<Uint32Array>;
  /** Records operations; they run only through {@linkcode Device.run}. */
  record(
    label: string,
    build: (operations: Operations) => void,
    options?: RecordOptions,
  ): Recording;
  /** Queues one replay of a recording. */
  run(recording: Recording): void;
  /** Waits for queued work. @throws {DeviceError} If the device reported an error since the last call. */
  settle(): Promise<void>;
  memory(): DeviceMemory;
  /** Frees everything. */
  close(): void;
}

/** Offsets of views are multiples of this many elements (256 bytes, WebGPU's default alignment). */
export const VIEW_ALIGNMENT = 64;

/** A device failed: out of memory, lost, or an invalid command. The message says what to do. */
export class DeviceError extends Error {
  override readonly name = "DeviceError";
}

/** Product of the dimensions of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}
