/**
 * The linear memory that kernels work in: ranges are handed out first-fit and merged when they come
 * back. Memory that WebAssembly has once can not be given back to the system.
 *
 * @module
 */

import { DeviceError } from "../device.ts";
import { PAGE_BYTES } from "./wasm/module.ts";

/** Ranges start at multiples of this: a cache line. */
const ALIGNMENT = 64;

/** Kernels may read (not write) this far beyond a tensor. */
const SLACK = 64;

/** Pages added at least when memory grows: 4 MiB. */
const GROWTH_PAGES = 64;

/** A contiguous range of the memory. */
export interface Range {
  readonly address: number;
  readonly bytes: number;
}

/** V8 allows 2^18 pages, 16 GiB, in a 64-bit memory. */
export const MAX_MEMORY_BYTES = 2 ** 34;

/** Shared linear memory with an allocator. */
export class LinearMemory {
  /** For instantiating modules. */
  readonly memory: WebAssembly.Memory;
  readonly #maximum: number;
  /** Free ranges by address; no two touch. */
  readonly #free: { address: number; bytes: number }[] = [];
  #end: number;

  /** Reserves address space for `maximum` bytes and takes almost none of it. */
  constructor(maximum: number = MAX_MEMORY_BYTES) {
    this.#maximum = Math.min(maximum, MAX_MEMORY_BYTES);
    // TypeScript's library does not know 64-bit memories yet; sizes are bigints in them.
    const descriptor = {
      address: "i64",
      initial: 1n,
      maximum: BigInt(Math.ceil(this.#maximum / PAGE_BYTES)),
      shared: true,
    };
    this.memory = new WebAssembly.Memory(descriptor as unknown as WebAssembly.MemoryDescriptor);
    // Address 0 means "no tensor".
    this.#end = ALIGNMENT;
  }

  /**
   * Takes a range; `clear` says whether it must be zero.
   *
   * @throws {DeviceError} If there is no memory left.
   */
  allocate(bytes: number, label: string, clear: boolean): Range {
    const wanted = Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    const index = this.#free.findIndex((range) => range.bytes >= wanted);
    const found = this.#free[index];
    if (found === undefined) return this.#extend(wanted, bytes, label);
    const range = { address: found.address, bytes: wanted };
    found.address += wanted;
    found.bytes -= wanted;
    if (found.bytes === 0) this.#free.splice(index, 1);
    if (clear) new Uint8Array(this.memory.buffer, range.address, wanted).fill(0);
    return range;
  }

  /** Takes a range back. */
  release({ address, bytes }: Range): void {
    let index = this.#free.findIndex((range) => range.address > address);
    if (index < 0) index = this.#free.length;
    const before = this.#free[index - 1];
    const after = this.#free[index];
    const touchesBefore = before !== undefined && before.address + before.bytes === address;
    const touchesAfter = after !== undefined && address + bytes === after.address;
    if (touchesBefore) {
      before.bytes += bytes;
      if (touchesAfter) {
        before.bytes += after.bytes;
        this.#free.splice(index, 1);
      }
    } else if (touchesAfter) {
      after.address = address;
      after.bytes += bytes;
    } else {
      this.#free.splice(index, 0, { address, bytes });
    }
  }

  /** f32 elements at an address; a view of the memory itself. */
  floats(address: number, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, address, length);
  }

  /** u32 elements at an address. */
  words(address: number, length: number): Uint32Array {
    return new Uint32Array(this.memory.buffer, address, length);
  }

  /** Memory beyond all ranges; new pages are zero. */
  #extend(wanted: number, bytes: number, label: string): Range {
    // A free range at the end becomes the start of the new one.
    const last = this.#free.at(-1);
    const reused = last !== undefined && last.address + last.bytes === this.#end ? last.bytes : 0;
    const address = this.#end - reused;
    const missing = address + wanted + SLACK - this.memory.buffer.byteLength;
    if (missing > 0) this.#grow(missing, bytes, label);
    if (reused > 0) {
      this.#free.pop();
      new Uint8Array(this.memory.buffer, address, reused).fill(0);
    }
    this.#end = address + wanted;
    return { address, bytes: wanted };
  }

  #grow(missing: number, bytes: number, label: string): void {
    const size = this.memory.buffer.byteLength;
    const room = Math.floor((this.#maximum - size) / PAGE_BYTES);
    const needed = Math.ceil(missing / PAGE_BYTES);
    try {
      if (needed > room) throw new RangeError("beyond the maximum");
      const pages = Math.min(room, Math.max(needed, GROWTH_PAGES));
      this.memory.grow(BigInt(pages) as unknown as number);
    } catch {
      throw new DeviceError(
        `Out of device memory allocating "${label}" (${mebibytes(bytes)}, with ` +
          `${mebibytes(size)} in use of at most ${mebibytes(this.#maximum)}); use a smaller ` +
          `model, batch or length`,
      );
    }
  }
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
