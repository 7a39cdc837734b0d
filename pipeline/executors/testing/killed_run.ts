/**
 * A run that is killed while a stage waits at its gate; the arguments are the file and the folder of
 * results.
 *
 * @module
 */

import { runExperiment } from "../../experiment.ts";

const [file = "", out = ""] = Deno.args;
await runExperiment(file, {
  out,
  stages: new URL("./stages.ts", import.meta.url).href,
  onEvent: (event) => {
    if (event.kind === "progress" && event.progress.activity === "waiting at the gate") {
      Deno.kill(Deno.pid, "SIGKILL");
    }
  },
});
