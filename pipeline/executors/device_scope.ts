/**
 * A device on loan: one stage's view of the device that a worker keeps open.
 *
 * @module
 */

import type { Device, Recording, Tensor } from "../../kernels/device.ts";

/** The loan of a device to a stage. */
export interface DeviceScope extends Disposable {
  /** Behaves as the device itself; closing it ends the loan only. */
  readonly device: Device;
  /** Largest memory of live tensors since the loan began, in bytes. */
  peak(): number;
}

/**
 * Lends `device`: measures the memory in use meanwhile and frees what the borrower left behind, so
 * that a stage that fails halfway takes nothing from the next.
 */
export function lendDevice(device: Device): DeviceScope {
  const tensors = new Set<Tensor>();
  const recordings = new Set<Recording>();
  let peak = device.memory().current;

  function measure(): void {
    peak = Math.max(peak, device.memory().current);
  }
  function release(): void {
    try {
      for (const recording of recordings) recording.release();
      for (const tensor of tensors) device.free(tensor);
    } catch {
      // A lost device frees nothing. The borrower has met the same error, and that one counts.
    }
    recordings.clear();
    tensors.clear();
  }

  const lent: Device = {
    info: device.info,
    tensor(dtype, shape, label) {
      const tensor = device.tensor(dtype, shape, label);
      tensors.add(tensor);
      measure();
      return tensor;
    },
    free(tensor) {
      device.free(tensor);
      tensors.delete(tensor);
    },
    record(label, build, options) {
      const recording = device.record(label, build, options);
      const release = recording.release.bind(recording);
      recording.release = () => {
        recordings.delete(recording);
        release();
      };
      recordings.add(recording);
      measure();
      return recording;
    },
    run(recording) {
      device.run(recording);
      measure();
    },
    view: device.view.bind(device),
    write: device.write.bind(device),
    copy: device.copy.bind(device),
    readFloats: device.readFloats.bind(device),
    readWords: device.readWords.bind(device),
    settle: device.settle.bind(device),
    memory: device.memory.bind(device),
    close: release,
  };
  return { device: lent, peak: () => peak, [Symbol.dispose]: release };
}
