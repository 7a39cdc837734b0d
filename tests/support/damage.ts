/**
 * Damaging model folders in the ways that disks, downloads and people do.
 *
 * @module
 */

import { join } from "node:path";

/** A JSON object. */
export type Json = Record<string, unknown>;

/** Cuts the last `bytes` bytes off the weights. */
export async function truncateWeights(model: string, bytes: number): Promise<void> {
  const path = join(model, "model.safetensors");
  await Deno.truncate(path, (await Deno.stat(path)).size - bytes);
}

/** Rewrites the header of the weights and leaves the data as they are. */
export async function editHeader(
  model: string,
  edit: (header: Record<string, Json>) => void,
): Promise<void> {
  const path = join(model, "model.safetensors");
  const bytes = await Deno.readFile(path);
  const size = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
  edit(header);
  const text = new TextEncoder().encode(JSON.stringify(header));
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(text.length), true);
  await Deno.writeFile(path, new Uint8Array(length.buffer));
  await Deno.writeFile(path, text, { append: true });
  await Deno.writeFile(path, bytes.subarray(8 + size), { append: true });
}

/** Sets one weight, the first of a tensor. */
export async function setWeight(model: string, tensor: string, value: number): Promise<void> {
  let offset = 0;
  await editHeader(model, (header) => {
    offset = (header[tensor]?.data_offsets as [number, number])[0];
  });
  const path = join(model, "model.safetensors");
  const bytes = await Deno.readFile(path);
  const view = new DataView(bytes.buffer);
  view.setFloat32(8 + Number(view.getBigUint64(0, true)) + offset, value, true);
  await Deno.writeFile(path, bytes);
}

/** Rewrites `config.json`. */
export async function editConfig(model: string, edit: (config: Json) => void): Promise<void> {
  const path = join(model, "config.json");
  const config = JSON.parse(await Deno.readTextFile(path));
  edit(config);
  await Deno.writeTextFile(path, JSON.stringify(config));
}
