/**
 * `deno task setup`: makes WebGPU usable on this machine.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { setUpDawn } from "../pipeline/environment/set_up_dawn.ts";
import { setUpAdapter, setUpOracles } from "../pipeline/environment/set_up.ts";

const HELP = `Makes WebGPU usable: tries it and, where there is no adapter, installs Mesa's Vulkan
drivers (Debian and Ubuntu, as root or with passwordless sudo) or prints the line that does.

Usage: deno task setup [--oracles] [--dawn] [--quiet]

  --oracles   also install what some tests compare with: PyTorch, NumPy and SciPy for Python
  --dawn      also install Dawn (132 MB) for --device webgpu:dawn
  --quiet     say nothing where everything is there already

Exit status: 0 if everything asked for works, 1 if not, 2 if the command line is wrong.`;

let options;
try {
  options = parseArgs({
    options: {
      help: { type: "boolean", short: "h" },
      oracles: { type: "boolean" },
      dawn: { type: "boolean" },
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
const report = (line: string) => console.error(line);
const adapter = await setUpAdapter(report);
if (adapter !== null && !options.quiet) report(`WebGPU works on ${adapter}`);
if (options.oracles) {
  const python = await setUpOracles(report);
  if (python !== null && !options.quiet) report(`Test oracles work in ${python}`);
}
const dawn = options.dawn ? await setUpDawn(report) : true;
if (options.dawn && dawn && !options.quiet) report("Dawn is installed");
Deno.exitCode = adapter === null || !dawn ? 1 : 0;
