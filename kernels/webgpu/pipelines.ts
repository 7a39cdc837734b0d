/**
 * Compilation of dispatches: each distinct module once, with an explicit bind group layout.
 * (Automatic layouts drop bindings a shader does not use, and are never shared.)
 *
 * @module
 */

import type { Binding, Dispatch, Uniform } from "./program.ts";
import { webgpuTensor } from "./tensor.ts";

/** A compiled module and the layout of its bindings. */
export interface Pipeline {
  /** Ready to be set. */
  readonly pipeline: GPUComputePipeline;
  /** Of group 0. */
  readonly layout: GPUBindGroupLayout;
}

/** Compiled modules of one device. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #watch: (what: string, scope: Promise<GPUError | null>) => void;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #pipelines = new Map<string, Pipeline>();

  /** Compiles for `device` and tells `watch` the outcome of each compilation. */
  constructor(
    device: GPUDevice,
    watch: (what: string, scope: Promise<GPUError | null>) => void,
  ) {
    this.#device = device;
    this.#watch = watch;
  }

  /** The pipeline of a dispatch. A module that does not compile is reported to `watch`. */
  get(dispatch: Dispatch): Pipeline {
    const { access, code } = promoteConflicts(dispatch);
    const signature = access.map((kind) => kind === "read" ? "r" : "w").join("") +
      (dispatch.uniforms?.length ? "u" : "");
    const key = `${signature}\n${code}`;
    const known = this.#pipelines.get(key);
    if (known) return known;
    this.#device.pushErrorScope("validation");
    const layout = this.#layout(signature);
    const pipeline = this.#device.createComputePipeline({
      label: dispatch.label,
      layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: {
        module: this.#device.createShaderModule({ label: dispatch.label, code }),
        entryPoint: "main",
      },
    });
    this.#watch(`The kernel "${dispatch.label}" does not compile`, this.#device.popErrorScope());
    const compiled = { pipeline, layout };
    this.#pipelines.set(key, compiled);
    return compiled;
  }

  #layout(signature: string): GPUBindGroupLayout {
    const known = this.#layouts.get(signature);
    if (known) return known;
    const types = { r: "read-only-storage", w: "storage", u: "uniform" } as const;
    const layout = this.#device.createBindGroupLayout({
      label: signature,
      entries: [...signature].map((kind, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: types[kind as keyof typeof types] },
      })),
    });
    this.#layouts.set(signature, layout);
    return layout;
  }
}

/**
 * WebGPU refuses a buffer that one dispatch binds both for reading and for writing, even in disjoint
 * ranges, as views of one tensor are. Its read-only bindings are then declared writable.
 */
function promoteConflicts(
  dispatch: Dispatch,
): { access: readonly Binding["access"][]; code: string } {
  const written = new Set(
    dispatch.bindings.filter((binding) => binding.access === "read_write")
      .map((binding) => webgpuTensor(binding.tensor).allocation),
  );
  let code = dispatch.code;
  const access = dispatch.bindings.map((binding, index) => {
    if (binding.access === "read_write") return binding.access;
    if (!written.has(webgpuTensor(binding.tensor).allocation)) return binding.access;
    const declaration = new RegExp(`(@binding\\(${index}\\)\\s*var<storage), *read>`);
    code = code.replace(declaration, "$1, read_write>");
    return "read_write";
  });
  return { access, code };
}

/** The uniform block of a dispatch: one little-endian word per field. */
export function packUniforms(uniforms: readonly Uniform[]): ArrayBuffer {
  const data = new DataView(new ArrayBuffer(4 * uniforms.length));
  uniforms.forEach(({ type, value }, index) => {
    if (type === "u32") data.setUint32(4 * index, value, true);
    else data.setFloat32(4 * index, value, true);
  });
  return data.buffer;
}
