/**
 * The process that `deno task bench:start` starts: prints the first calls of a device as JSON.
 *
 * @module
 */

import { measureFirstCalls } from "../pipeline/bench/first_calls.ts";
import { type DeviceName, openDevice } from "../pipeline/executors/devices.ts";

const [device = "auto"] = Deno.args;
console.log(JSON.stringify(await measureFirstCalls(() => openDevice(device as DeviceName))));
