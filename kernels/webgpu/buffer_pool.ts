/**
 * Reuse of GPU buffers. V8 sees only a few bytes of a GPU buffer and collects it late or never, so
 * buffers are returned and destroyed explicitly.
 *
 * @module
 */

/** Sizes are multiples of this many bytes. */
const STEP = 256;

/** A buffer from the pool. */
export interface PooledBuffer {
  /** At least as large as asked for. */
  readonly buffer: GPUBuffer;
  /** False if the buffer is new and therefore zero. */
  readonly reused: boolean;
}

/** Free buffers of one usage, by size class. */
export class BufferPool {
  readonly #create: (bytes: number, label: string) => GPUBuffer;
  readonly #maxBytes: number;
  readonly #idleLimit: number;
  readonly #free = new Map<number, GPUBuffer[]>();
  #idle = 0;

  /**
   * An empty pool.
   *
   * @param create Makes a buffer.
   * @param maxBytes The largest buffer the device makes.
   * @param idleLimit Bytes of free buffers to keep; further ones are destroyed.
   */
  constructor(
    create: (bytes: number, label: string) => GPUBuffer,
    maxBytes: number,
    idleLimit: number,
  ) {
    this.#create = create;
    this.#maxBytes = roundDown(maxBytes);
    this.#idleLimit = idleLimit;
  }

  /** A buffer of at least `bytes` bytes. */
  acquire(bytes: number, label: string): PooledBuffer {
    const capacity = Math.min(sizeClass(bytes), this.#maxBytes);
    const buffer = this.#free.get(capacity)?.pop();
    if (buffer) {
      this.#idle -= capacity;
      return { buffer, reused: true };
    }
    return { buffer: this.#create(capacity, label), reused: false };
  }

  /** Takes a buffer back. No command that is still to be submitted may use it. */
  release(buffer: GPUBuffer): void {
    if (this.#idle + buffer.size > this.#idleLimit) {
      buffer.destroy();
      return;
    }
    const list = this.#free.get(buffer.size);
    if (list) list.push(buffer);
    else this.#free.set(buffer.size, [buffer]);
    this.#idle += buffer.size;
  }

  /** Destroys all free buffers. */
  clear(): void {
    for (const list of this.#free.values()) {
      for (const buffer of list) buffer.destroy();
    }
    this.#free.clear();
    this.#idle = 0;
  }
}

/** The largest multiple of the smallest size class within a limit (limits may be odd: 2^31 - 1). */
export function roundDown(bytes: number): number {
  return Math.floor(bytes / STEP) * STEP;
}

/**
 * Rounds up to a multiple of 256 bytes, and above 2 KiB to an eighth of the power of two below: at
 * most an eighth is wasted, and few classes exist.
 */
export function sizeClass(bytes: number): number {
  const step = Math.max(STEP, 2 ** (Math.floor(Math.log2(Math.max(bytes, 1))) - 3));
  return Math.max(1, Math.ceil(bytes / step)) * step;
}
