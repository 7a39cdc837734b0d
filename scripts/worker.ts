/**
 * A worker process of the local executor; started by it, not by people.
 *
 * @module
 */

import type { DeviceName } from "../pipeline/executors/devices.ts";
import { serveWorker } from "../pipeline/executors/worker.ts";

if (import.meta.main) {
  const [store = "", device = "auto", threads = "1", stages = ""] = Deno.args;
  await serveWorker({ store, device: device as DeviceName, threads: Number(threads), stages });
  // A device keeps the event loop alive; nothing is left to wait for.
  Deno.exit(0);
}
