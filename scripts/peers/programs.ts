/**
 * How the compared programs start, and how to get one that is missing.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { findPython } from "../../pipeline/environment/oracles.ts";
import { wideVectorVariables } from "../../pipeline/environment/cpu_settings.ts";
import { readTextOrNull } from "../../pipeline/formats/files.ts";
import type { ProgramName } from "./comparisons.ts";
import type { ProgramCommand } from "./program.ts";

/** Where npm packages of peers are installed: not among ours, since nothing needs them. */
const PACKAGES = fileURLToPath(new URL("../../.cache/peers/", import.meta.url));

const LLAMA_CPP = "node-llama-cpp@3.22.1";
const JAX = "@jax-js/jax@0.1.25";

/** What all programs of a run share. */
export interface ProgramOptions {
  /** Of our side. */
  readonly device: string;
  /** Of every program. */
  readonly threads: number;
}

/** The command of a program, or a sentence that says how to get it. */
export async function findProgram(
  program: ProgramName,
  { device, threads }: ProgramOptions,
): Promise<ProgramCommand | string> {
  const threadFlags = ["--threads", String(threads)];
  const python = async (name: string, script: string, ...args: string[]) => {
    const interpreter = await findPython(["torch"]);
    if (interpreter === null) {
      return `PyTorch is missing: run sudo apt-get install python3-torch libopenblas0-pthread, or ` +
        `pip install torch`;
    }
    // -B: no cache of compiled modules in the repository.
    const command = [interpreter, "-B", path(`./pytorch/${script}`), ...args];
    return { name, command };
  };
  switch (program) {
    case "equipoise": {
      const permissions = [
        "--allow-read",
        "--allow-write",
        "--allow-env",
        "--allow-sys",
        "--allow-run",
      ];
      return {
        name: "Equipoise",
        command: [
          ...[Deno.execPath(), "run", "--quiet", "--no-prompt", ...permissions],
          ...[path("./equipoise.ts"), "--device", device, ...threadFlags],
        ],
        env: device === "cpu" ? await wideVectorVariables() : {},
      };
    }
    case "pytorch":
      return await python("PyTorch", "cpu.py", ...threadFlags);
    case "pytorch-f32-gpu":
      return await python("PyTorch f32", "gpu.py", "--dtype", "f32");
    case "pytorch-bf16-gpu":
      return await python("PyTorch bf16", "gpu.py", "--dtype", "bf16");
    case "peft-gpu":
      return await python("PEFT bf16", "gpu.py", "--dtype", "bf16", "--peft");
    case "llama.cpp": {
      const platform = `@node-llama-cpp/${LLAMA_PLATFORM}`;
      return npmProgram("llama.cpp", "node-llama-cpp", [LLAMA_CPP, `${platform}@3.22.1`], [
        path("./llama_cpp/peer.ts"),
        `${PACKAGES}node_modules/node-llama-cpp/dist/index.js`,
        ...threadFlags,
      ]);
    }
    case "jax":
      return npmProgram("jax-js", "@jax-js/jax", [JAX], [
        path("./jax/peer.ts"),
        `${PACKAGES}node_modules/@jax-js/jax/dist/index.js`,
        ...["--device", device === "webgpu" ? "webgpu" : "wasm"],
        ...threadFlags,
      ]);
  }
}

/** Names of node-llama-cpp's prebuilt packages without a GPU. */
const LLAMA_PLATFORM = ({
  "linux x86_64": "linux-x64",
  "linux aarch64": "linux-arm64",
  "darwin x86_64": "mac-x64",
  "darwin aarch64": "mac-arm64-metal",
  "windows x86_64": "win-x64",
} as Readonly<Record<string, string>>)[`${Deno.build.os} ${Deno.build.arch}`] ?? "linux-x64";

/** Optional packages are left out: those of GPUs have hundreds of megabytes. */
function npmProgram(
  name: string,
  module: string,
  packages: readonly string[],
  args: readonly string[],
): ProgramCommand | string {
  if (readTextOrNull(`${PACKAGES}node_modules/${module}/package.json`) === null) {
    return `${name} is missing: run npm install --prefix .cache/peers --omit=optional ` +
      `--ignore-scripts ${packages.join(" ")}`;
  }
  // Away from our own configuration, so that Deno finds the packages where npm put them.
  const config = ["--quiet", "--no-prompt", "--no-config", "--node-modules-dir=manual"];
  // node-llama-cpp tries its library in a process of its own before it loads it.
  const run = `--allow-run=${Deno.execPath()}`;
  const permissions = [
    "--allow-read",
    "--allow-write",
    "--allow-env",
    "--allow-sys",
    "--allow-ffi",
  ];
  return { name, command: [Deno.execPath(), "run", ...config, ...permissions, run, ...args] };
}

function path(relative: string): string {
  return fileURLToPath(new URL(relative, import.meta.url));
}
