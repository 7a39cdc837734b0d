/**
 * Proof that subgroup operations work. Deno grants the feature without listing it, so a small
 * shader checks what kernels rely on before any kernel does.
 *
 * @module
 */

/** Result of {@linkcode proveSubgroups}. */
export interface SubgroupProof {
  /** Lanes of a subgroup, 0 if the proof failed. */
  readonly size: number;
  /** Why it failed, else empty. */
  readonly problem: string;
}

const LANES = 64;

/** Every lane writes: subgroup size, lane, sum of values, value of lane 3, value of lane ^ 1. */
const SHADER = `
@group(0) @binding(0) var<storage, read_write> results: array<u32>;

@compute @workgroup_size(${LANES})
fn main(
  @builtin(local_invocation_index) index: u32,
  @builtin(subgroup_size) size: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let value = index * index + 1u;
  let base = index * 5u;
  results[base] = size;
  results[base + 1u] = lane;
  results[base + 2u] = subgroupAdd(value);
  results[base + 3u] = subgroupBroadcast(value, 3u);
  results[base + 4u] = subgroupShuffleXor(value, 1u);
}
`;

/**
 * Runs subgroup operations on a device that was granted the feature and compares them with their
 * definition. Kernels assume that a subgroup is `size` consecutive invocations of a workgroup.
 * `preamble` stands in front of the shader.
 */
export async function proveSubgroups(
  device: GPUDevice,
  size: number,
  preamble: string,
): Promise<SubgroupProof> {
  if (size < 4 || LANES % size !== 0) return { size: 0, problem: `their size is ${size}` };
  device.pushErrorScope("validation");
  const words = await runShader(device, preamble);
  const error = await device.popErrorScope();
  if (error) return { size: 0, problem: error.message };
  for (let index = 0; index < LANES; index++) {
    const first = index - index % size;
    let sum = 0;
    for (let lane = 0; lane < size; lane++) sum += valueOf(first + lane);
    const expected = [size, index % size, sum, valueOf(first + 3), valueOf(index ^ 1)];
    const found = words.subarray(5 * index, 5 * index + 5);
    if (expected.some((value, field) => value !== found[field])) {
      return { size: 0, problem: `invocation ${index} computed ${found}, not ${expected}` };
    }
  }
  return { size, problem: "" };
}

function valueOf(index: number): number {
  return index * index + 1;
}

async function runShader(device: GPUDevice, preamble: string): Promise<Uint32Array> {
  const size = LANES * 5 * 4;
  const results = device.createBuffer({
    size,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC,
  });
  const staging = device.createBuffer({
    size,
    usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
  });
  try {
    const pipeline = device.createComputePipeline({
      layout: "auto",
      compute: {
        module: device.createShaderModule({ code: preamble + SHADER }),
        entryPoint: "main",
      },
    });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [{ binding: 0, resource: { buffer: results } }],
      }),
    );
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(results, 0, staging, 0, size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    return new Uint32Array(staging.getMappedRange().slice(0));
  } finally {
    results.destroy();
    staging.destroy();
  }
}
