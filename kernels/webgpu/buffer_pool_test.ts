import assert from "node:assert/strict";
import { BufferPool, roundDown, sizeClass } from "./buffer_pool.ts";

/** Counts what is alive instead of holding memory. */
class FakeBuffers {
  created = 0;
  destroyed = 0;

  make = (size: number): GPUBuffer => {
    this.created++;
    return { size, destroy: () => this.destroyed++ } as unknown as GPUBuffer;
  };
}

Deno.test("size classes hold the request, waste at most an eighth and are few", () => {
  const classes = new Set<number>();
  for (let bytes = 1; bytes < 2 ** 20; bytes += 37) {
    const size = sizeClass(bytes);
    assert.ok(size >= bytes && size % 256 === 0, `${bytes} -> ${size}`);
    assert.ok(size - bytes < Math.max(256, bytes / 8 + 1), `${bytes} -> ${size}`);
    classes.add(size);
  }
  assert.ok(classes.size < 100, `${classes.size} classes`);
  assert.equal(sizeClass(2 ** 27), 2 ** 27);
});

Deno.test("a released buffer serves the next request of its class", () => {
  const fake = new FakeBuffers();
  const pool = new BufferPool(fake.make, 2 ** 30, 2 ** 20);
  const first = pool.acquire(1000, "first");
  assert.equal(first.reused, false);
  pool.release(first.buffer);
  const second = pool.acquire(1024, "second");
  assert.equal(second.buffer, first.buffer);
  assert.equal(second.reused, true);
  assert.equal(pool.acquire(1024, "third").reused, false);
});

Deno.test("free buffers beyond the idle limit are destroyed, and all of them by clear", () => {
  const fake = new FakeBuffers();
  const pool = new BufferPool(fake.make, 2 ** 30, 4096);
  const buffers = [1, 2, 3].map(() => pool.acquire(2048, "buffer").buffer);
  for (const buffer of buffers) pool.release(buffer);
  assert.equal(fake.destroyed, 1);
  pool.clear();
  assert.equal(fake.destroyed, 3);
  assert.equal(pool.acquire(2048, "buffer").reused, false);
});

Deno.test("no class is larger than the device allows", () => {
  const fake = new FakeBuffers();
  const limit = 2 ** 31 - 1;
  const pool = new BufferPool(fake.make, limit, 0);
  const { buffer } = pool.acquire(roundDown(limit), "largest");
  assert.equal(buffer.size, 2 ** 31 - 256);
});
