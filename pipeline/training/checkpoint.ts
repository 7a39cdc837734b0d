/**
 * Training state on disk: one safetensors file with every tensor that a step changes, and the number
 * of steps done in its metadata. Written under a temporary name, flushed and renamed, so that a
 * process killed at any moment leaves the last complete one.
 *
 * @module
 */

import { basename, dirname, join } from "node:path";
import type { Device, Tensor } from "../../kernels/device.ts";
import { UserError } from "../errors.ts";
import { statOrNull } from "../formats/files.ts";
import { SafetensorsFile, SafetensorsWriter } from "../formats/safetensors.ts";
import { parts, readParts } from "../models/tensor_parts.ts";

/** What a checkpoint holds besides tensors. */
export interface CheckpointMetadata {
  /** Optimizer steps done. */
  readonly step: number;
  /** Everything that decides the steps: a checkpoint is continued only under an equal one. */
  readonly fingerprint: string;
}

/**
 * Writes f32 tensors by name, in the device's own precision (f64 on `reference`), one after another.
 *
 * @throws {UserError} If the disk is full or cannot be written, or a tensor holds NaN or infinity:
 * the file that was there is then kept.
 */
export async function saveCheckpoint(
  path: string,
  device: Device,
  tensors: ReadonlyMap<string, Tensor>,
  { step, fingerprint }: CheckpointMetadata,
): Promise<void> {
  removeTemporaries(path);
  const dtype = device.info.name === "reference" ? "F64" : "F32";
  using writer = SafetensorsWriter.create(
    path,
    [...tensors].map(([name, { shape }]) => ({ name, dtype, shape })),
    { step: String(step), fingerprint },
  );
  for (const [name, tensor] of tensors) {
    for await (const { first, values } of readParts(device, tensor)) {
      if (!values.every(Number.isFinite)) {
        throw new UserError(
          `Training diverged at step ${step}: ${name} holds NaN or infinity; lower optimizer.lr or ` +
            `set clip (the checkpoint before it is kept)`,
        );
      }
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      writer.write(name, bytes, first * values.BYTES_PER_ELEMENT);
    }
  }
  writer.finish();
}

/** Removes what processes that were killed while writing this checkpoint have left beside it. */
function removeTemporaries(path: string): void {
  const folder = dirname(path);
  const name = basename(path);
  for (const entry of Deno.readDirSync(folder)) {
    if (entry.name.startsWith(`${name}.`) && entry.name.endsWith(".tmp")) {
      Deno.removeSync(join(folder, entry.name));
    }
  }
}

/**
 * Restores tensors bit by bit and returns the number of steps done; 0 if there is no checkpoint.
 *
 * @throws {UserError} If the checkpoint belongs to other settings or is damaged.
 */
export function loadCheckpoint(
  path: string,
  device: Device,
  tensors: ReadonlyMap<string, Tensor>,
  fingerprint: string,
): number {
  if (statOrNull(path) === null) return 0;
  using file = SafetensorsFile.open(path);
  const step = Number(file.metadata.step);
  if (file.metadata.fingerprint !== fingerprint || !Number.isInteger(step)) {
    throw new UserError(
      `${path} was left by training with other settings; delete it to train from the start, or ` +
        `restore the settings to continue`,
    );
  }
  for (const [name, tensor] of tensors) {
    const Values = file.tensors.get(name)?.dtype === "F64" ? Float64Array : Float32Array;
    for (const { first, count } of parts(tensor)) {
      const width = Values.BYTES_PER_ELEMENT;
      device.write(
        tensor,
        new Values(file.readBytes(name, width * first, width * count).buffer),
        first,
      );
    }
  }
  return step;
}
