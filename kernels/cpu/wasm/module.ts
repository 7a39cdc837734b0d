/**
 * Assembles WebAssembly functions into a module over one imported shared memory.
 *
 * @module
 */

import { type Bytes, name, section, unsigned, vector } from "./encoding.ts";
import { type Callee, FunctionBuilder, TYPE_CODE } from "./function.ts";
import type { ValueType } from "./expression.ts";

/** Bytes of one page of memory. */
export const PAGE_BYTES = 65536;

interface Signature {
  readonly parameters: readonly ValueType[];
  readonly result: ValueType | null;
}

interface Function extends Callee {
  readonly body: Bytes;
}

/** A module under construction. */
export class ModuleBuilder {
  readonly #memory64: boolean;
  readonly #signatures: Signature[] = [];
  readonly #functions: Function[] = [];
  readonly #exports: { name: string; callee: Callee }[] = [];
  #table: readonly Callee[] = [];

  /** `memory64`: addresses are 64 bits wide, so that the memory may be larger than 4 GiB. */
  constructor(options: { memory64: boolean }) {
    this.#memory64 = options.memory64;
  }

  /** The type of addresses. */
  get address(): "i32" | "i64" {
    return this.#memory64 ? "i64" : "i32";
  }

  /** Adds a function whose body `build` writes. */
  function(
    signature: { parameters: readonly ValueType[] },
    build: (f: FunctionBuilder) => void,
  ): Callee {
    return this.add(signature, () => {
      const f = new FunctionBuilder(signature.parameters);
      build(f);
      return f;
    });
  }

  /** Adds a function whose body a builder of the caller's holds. */
  add(signature: { parameters: readonly ValueType[] }, build: () => FunctionBuilder): Callee {
    // Building may add the functions that the body calls; they come first.
    const body = build().build();
    const callee = {
      index: this.#functions.length,
      parameters: signature.parameters,
      result: null,
      body,
    };
    this.#functions.push(callee);
    this.#signature(callee);
    return callee;
  }

  /** Makes a function visible from JavaScript. */
  export(name: string, callee: Callee): void {
    this.#exports.push({ name, callee });
  }

  /** Sets the table of functions that {@linkcode ModuleBuilder.indirectType} calls reach by index. */
  table(callees: readonly Callee[]): void {
    this.#table = callees;
  }

  /** Index of the type of functions with these parameters and no result, for indirect calls. */
  indirectType(parameters: readonly ValueType[]): number {
    return this.#signature({ parameters, result: null });
  }

  /** The module in the binary format (core specification, section 5.5). */
  build(): Uint8Array<ArrayBuffer> {
    const types = this.#signatures.map(({ parameters, result }) => [
      0x60,
      ...vector(parameters.map((type) => [TYPE_CODE[type]])),
      ...vector(result === null ? [] : [[TYPE_CODE[result]]]),
    ]);
    // Shared memories declare a maximum; the importer's may be smaller but not larger.
    const limits = this.#memory64
      ? [0x07, ...unsigned(1), ...unsigned(1n << 18n)]
      : [0x03, ...unsigned(1), ...unsigned(1 << 16)];
    const memory = [...name("host"), ...name("memory"), 0x02, ...limits];
    const size = unsigned(this.#table.length);
    return new Uint8Array([
      ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
      ...section(1, vector(types)),
      ...section(2, vector([memory])),
      ...section(3, vector(this.#functions.map((callee) => unsigned(this.#signature(callee))))),
      ...section(4, vector([[0x70, 0x01, ...size, ...size]])),
      ...section(
        7,
        vector(this.#exports.map((item) => [
          ...name(item.name),
          0x00,
          ...unsigned(item.callee.index),
        ])),
      ),
      ...section(
        9,
        vector([[
          ...[0x00, 0x41, 0x00, 0x0b],
          ...vector(this.#table.map((callee) => unsigned(callee.index))),
        ]]),
      ),
      ...section(10, vector(this.#functions.map((callee) => callee.body))),
    ]);
  }

  #signature(wanted: Signature): number {
    const key = (signature: Signature) => `${signature.parameters} -> ${signature.result}`;
    const known = this.#signatures.findIndex((signature) => key(signature) === key(wanted));
    if (known >= 0) return known;
    return this.#signatures.push({ parameters: wanted.parameters, result: wanted.result }) - 1;
  }
}
