/**
 * Weights `[N, K]` read 32 inputs at a time, in the widest loads there are: for products with few
 * rows, which take as long as it takes to read the weight.
 *
 * @module
 */

import type { IntegerBits } from "../device.ts";
import { decoded, type Decoder, decoderOf, type PackedWeight } from "./decode.ts";
import { readDense } from "./product_code.ts";
import type { Product } from "./product_types.ts";
import type { Uniform } from "./program.ts";
import { range } from "./unroll.ts";
import type { Storage } from "./wgsl.ts";

/** Inputs of a chunk. */
export const CHUNK = 32;

/** How code reads chunks of a weight. */
export interface ChunkReader {
  /** Distinguishes generated modules in labels. */
  readonly name: string;
  /** Buffers to bind. */
  readonly storage: readonly Storage[];
  /** Read as `parameters.name`. */
  readonly uniforms: Readonly<Record<string, Uniform>>;
  /** Functions. */
  readonly declarations: string;
  /** Statements that load chunk `chunk` of row `row` into variables with this suffix. */
  load(suffix: number, row: string, chunk: string): string;
  /** The decoded weights at places 4 quarter to 4 quarter + 3 of that chunk, a vec4. */
  value(suffix: number, quarter: number): string;
}

/** A reader of the right factor of a product, or null where it cannot be read in chunks. */
export function chunkReader({ right, K }: Product): ChunkReader | null {
  if (!right.transposed) return null;
  if (!("weight" in right)) {
    if (K % 4 !== 0) return null;
    return {
      name: "t",
      storage: [readDense("right", right.tensor, true)],
      uniforms: {},
      declarations: "",
      load: (suffix, row, chunk) =>
        range(CHUNK / 4).map((quarter) =>
          `let piece${suffix}_${quarter} = right[(${row} * parameters.K + ` +
          `min(${chunk} * ${CHUNK}u + ${4 * quarter}u, parameters.K - 4u)) / 4u];`
        ).join("\n"),
      value: (suffix, quarter) => `piece${suffix}_${quarter}`,
    };
  }
  const { weight } = right;
  const decoder = decoderOf(weight);
  if (decoder.blockColumns % CHUNK !== 0) return null;
  const words = WORDS[codeBits(weight)];
  return {
    name: `${decoder.name} t`,
    storage: decoder.storage.map((storage) =>
      storage.name === "codes" ? { ...storage, element: words.element } : storage
    ),
    uniforms: decoder.uniforms,
    declarations: withoutOctets(decoder),
    load: (suffix, row, chunk) =>
      `let block${suffix} = blockAt(${row}, ${chunk} * ${CHUNK}u);
${
        decoder.blockValues.map(([name, load]) =>
          `let ${name}${suffix} = ${load(`block${suffix}`)};`
        ).join("\n")
      }
let chunk${suffix} = ${row} * parameters.chunks + ${chunk};
${
        words.load.map((expression, i) => `let words${suffix}_${i} = ${expression(suffix)};`).join(
          "\n",
        )
      }`,
    value: (suffix, quarter) => {
      const [x, y] = words.octet(suffix, quarter >> 1);
      const places = range(4).map((i) => `${4 * (quarter & 1) + i}u`).join(", ");
      const codes = `codesOf(vec4<u32>(${x}), vec4<u32>(${y}), vec4<u32>(${places}))`;
      return decoded(decoder, codes, suffix);
    },
  };
}

function codeBits(weight: PackedWeight): IntegerBits {
  if (weight.format === "integer") return weight.bits;
  return weight.format === "nf4" ? 4 : 3;
}

/** How the words of a chunk are loaded, and which of them hold an octet (see `packing.ts`). */
interface ChunkWords {
  readonly element: string;
  readonly load: readonly ((suffix: number) => string)[];
  octet(suffix: number, octet: number): readonly [x: string, y: string];
}

const WORDS: Readonly<Record<IntegerBits, ChunkWords>> = {
  1: {
    element: "u32",
    load: [(suffix) => `codes[chunk${suffix}]`],
    octet: (suffix, octet) => [`words${suffix}_0 >> ${octet * 8}u`, "0u"],
  },
  2: {
    element: "vec2<u32>",
    load: [(suffix) => `codes[chunk${suffix}]`],
    octet: (suffix, octet) => [
      `words${suffix}_0.${"xy".charAt(octet >> 1)} >> ${octet % 2 * 16}u`,
      "0u",
    ],
  },
  3: {
    element: "u32",
    load: range(3).map((i) => (suffix) => `codes[chunk${suffix} * 3u + ${i}u]`),
    octet: (suffix, octet) => [
      `words${suffix}_${octet >> 1} >> ${octet % 2 * 16}u`,
      `words${suffix}_2 >> ${octet * 8}u`,
    ],
  },
  4: {
    element: "vec4<u32>",
    load: [(suffix) => `codes[chunk${suffix}]`],
    octet: (suffix, octet) => [`words${suffix}_0.${"xyzw".charAt(octet)}`, "0u"],
  },
  8: {
    element: "vec4<u32>",
    load: range(2).map((i) => (suffix) => `codes[chunk${suffix} * 2u + ${i}u]`),
    octet: (suffix, octet) => {
      const words = `words${suffix}_${octet >> 1}`;
      return octet % 2 === 0 ? [`${words}.x`, `${words}.y`] : [`${words}.z`, `${words}.w`];
    },
  },
};

/** A decoder's declarations but those that read single octets, whose codes are declared wider here. */
function withoutOctets({ declarations }: Decoder): string {
  return declarations
    .replace(/fn wordsAt\([^)]*\) -> vec2<u32> \{[\s\S]*?\n\}\n/, "")
    .replace(/struct Octet [\s\S]*$/, "");
}
