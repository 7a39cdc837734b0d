/**
 * Installing Dawn, which `--device webgpu:dawn` computes with.
 *
 * @module
 */

import { join } from "node:path";
import { DAWN_FOLDER, DAWN_VERSION, hasDawn } from "../../kernels/webgpu/dawn.ts";
import type { Report } from "./set_up.ts";

/**
 * Installs the npm package `webgpu` into its own folder, unless it is there: in this project's
 * dependencies it would be 132 MB for everyone.
 *
 * @returns False if that failed, after saying why and what to do.
 */
export async function setUpDawn(
  report: Report,
  folder: string = DAWN_FOLDER,
  version: string = DAWN_VERSION,
): Promise<boolean> {
  if (hasDawn(folder, version)) return true;
  report(`Installing Dawn (npm package webgpu ${version}, 132 MB) ...`);
  await Deno.mkdir(folder, { recursive: true });
  const configuration = {
    nodeModulesDir: "auto",
    imports: { webgpu: `npm:webgpu@${version}` },
  };
  await Deno.writeTextFile(join(folder, "deno.json"), JSON.stringify(configuration));
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["install", "--quiet"],
    cwd: folder,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (success && hasDawn(folder, version)) return true;
  const reason = new TextDecoder().decode(stderr).split("\n").find((line) => line.trim() !== "");
  report(
    `Dawn could not be installed (${reason ?? "the package is incomplete"}): see that the npm ` +
      "registry can be reached, then run `deno task setup --dawn` again",
  );
  return false;
}
