/**
 * `deno task setup`: installs what is asked for.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { setUpDawn } from "../pipeline/environment/set_up_dawn.ts";
import { setUpAdapter, setUpOracles } from "../pipeline/environment/set_up.ts";

const HELP =
  `Installs what is asked for and missing. Experiments run without any of it, on the CPU; a GPU needs
only the driver that its maker provides.

Usage: deno task setup [--webgpu] [--dawn] [--oracles] [--quiet]

  --webgpu    the Vulkan loader and Mesa's drivers, for --device webgpu where there is no GPU
              (Debian and Ubuntu, as root or with passwordless sudo; else prints the line that does)
  --dawn      Dawn (132 MB), for --device webgpu:dawn
  --oracles   what some tests compare with: PyTorch, NumPy, SciPy, SentencePiece
  --quiet     say nothing where everything is there already

Exit status: 0 if WebGPU and Dawn work where they were asked for, 1 if not, 2 if the command line is
wrong. Without oracles the tests that need them are skipped.`;

let options;
try {
  options = parseArgs({
    options: {
      help: { type: "boolean", short: "h" },
      webgpu: { type: "boolean" },
      dawn: { type: "boolean" },
      oracles: { type: "boolean" },
      quiet: { type: "boolean" },
    },
  }).values;
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  Deno.exit(2);
}
if (options.help) {
  console.log(HELP);
  Deno.exit(0);
}
const { quiet = false } = options;
const report = (line: string) => console.error(line);
const works = (line: string) => quiet ? undefined : report(line);
const outcomes: boolean[] = [];
if (options.webgpu) {
  const adapter = await setUpAdapter(report);
  if (adapter !== null) works(`WebGPU works on ${adapter}`);
  outcomes.push(adapter !== null);
}
if (options.dawn) {
  const dawn = await setUpDawn(report);
  if (dawn) works("Dawn is installed");
  outcomes.push(dawn);
}
if (options.oracles) {
  const python = await setUpOracles(report);
  if (python !== null) works(`Test oracles work in ${python}`);
  // Tests do without them.
}
if (!options.webgpu && !options.dawn && !options.oracles) {
  works("Experiments run here as it is; see `deno task setup --help` for what can be added");
}
Deno.exitCode = outcomes.every(Boolean) ? 0 : 1;
