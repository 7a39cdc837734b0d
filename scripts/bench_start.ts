/**
 * `deno task bench:start`: what a fresh process waits for before it computes at full speed.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { Option } from "commander";
import type { FirstCall } from "../pipeline/bench/first_calls.ts";
import { DEVICE_NAMES, type DeviceName } from "../pipeline/executors/devices.ts";
import { EXIT_DONE, EXIT_FAILED, makeCommand, runCommand } from "./shared/command.ts";

const command = makeCommand(
  "bench:start",
  "Measures the first training step, evaluation and generation of a fresh process, with " +
    "empty and with filled shader caches: the difference is the time that kernels take to compile.",
).addOption(
  new Option("--device <name>", "what to measure").choices(DEVICE_NAMES).default("auto"),
);

/** Where drivers keep compiled shaders: those of Mesa, and NVIDIA's. */
const CACHES = ["MESA_SHADER_CACHE_DIR", "__GL_SHADER_DISK_CACHE_PATH"];

/** Of the child, which opens any device. */
const PERMISSIONS = [
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-sys",
  "--allow-run",
  "--allow-ffi",
];

await runCommand(command, async () => {
  const { device } = command.opts<{ readonly device: DeviceName }>();
  const folder = await Deno.makeTempDir({ prefix: "equipoise-shaders-" });
  const caches = Object.fromEntries(CACHES.map((name) => [name, folder]));
  try {
    const empty = await firstCalls(device, caches);
    const filled = empty && await firstCalls(device, caches);
    if (!empty || !filled) return EXIT_FAILED;
    const [load = 0] = Deno.loadavg();
    console.log(
      `Deno ${Deno.version.deno}, --device ${device}, ${navigator.hardwareConcurrency} ` +
        `processors, load average ${load.toFixed(1)}, ${new Date().toISOString()}\n`,
    );
    console.log(row("tinystories-656k, 8x256", "empty cache", "filled cache", "difference"));
    const sum = (calls: readonly FirstCall[]) =>
      calls.reduce((sum, { seconds }) => sum + seconds, 0);
    const total = (calls: readonly FirstCall[]) => ({ name: "all", seconds: sum(calls) });
    const after = [...filled, total(filled)];
    [...empty, total(empty)].forEach(({ name, seconds }, index) => {
      const warm = after[index]?.seconds ?? NaN;
      console.log(row(name, shown(seconds), shown(warm), shown(seconds - warm)));
    });
    return EXIT_DONE;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** In a new process; null if it failed, which it has explained. */
async function firstCalls(
  device: DeviceName,
  env: Readonly<Record<string, string>>,
): Promise<readonly FirstCall[] | null> {
  const script = fileURLToPath(new URL("first_calls.ts", import.meta.url));
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "--no-check", ...PERMISSIONS, script, device],
    env: { ...env },
    stderr: "inherit",
  }).output();
  return success ? JSON.parse(new TextDecoder().decode(stdout)) : null;
}

function row(name: string, ...columns: readonly string[]): string {
  return name.padEnd(28) + columns.map((column) => column.padStart(14)).join("");
}

function shown(seconds: number): string {
  return `${seconds.toFixed(2)} s`;
}
