/**
 * Loaded before a worker: makes its WebGPU device fail once the worker logs a step. `DEVICE_FAILURE` says
 * how and after which step: "lost 10", "memory 10", "panic 10".
 *
 * @module
 */

const [failure = "", step = ""] = (Deno.env.get("DEVICE_FAILURE") ?? "").split(" ");

let device: GPUDevice | undefined;

/** Ways to fail, as drivers do. */
const FAILURES: Readonly<Record<string, (device: GPUDevice) => void>> = {
  lost: (device) => device.destroy(),
  // As where the driver finds no memory for what was submitted, outside of any error scope.
  memory: (device) => {
    const error = new GPUOutOfMemoryError("not enough memory left");
    device.dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error }));
  },
  // What Deno 2.9 does when a driver fails while it waits: `unwrap` of nothing, in `ext/webgpu`.
  panic: (device) => {
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const buffer = device.createBuffer({ size: 16, usage });
    buffer.mapAsync(GPUMapMode.READ);
    buffer.getMappedRange();
  },
};

const requestDevice = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  device = await requestDevice.call(this, descriptor);
  return device;
};

const write = Deno.stdout.writeSync.bind(Deno.stdout);
Deno.stdout.writeSync = (bytes) => {
  const written = write(bytes);
  if (device && new TextDecoder().decode(bytes).includes(`"line":"step ${step} `)) {
    FAILURES[failure]?.(device);
  }
  return written;
};
