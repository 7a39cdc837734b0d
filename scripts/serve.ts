/**
 * `deno task serve`: a model behind OpenAI's completions API.
 *
 * @module
 */

import { InvalidArgumentError, Option } from "commander";
import { DEVICE_NAMES, type DeviceName } from "../pipeline/executors/devices.ts";
import {
  EXIT_DONE,
  makeCommand,
  outOption,
  positiveInteger,
  runCommand,
} from "./shared/command.ts";
import { listenForInterrupts } from "./shared/interrupt.ts";
import { runWithWideVectors } from "./shared/wide_vectors.ts";

const command = makeCommand(
  "serve",
  "Serves a model on this machine: /v1/completions, /v1/chat/completions, /v1/models, /health.",
)
  .argument("<model>", "model folder, or a run as RUN, RUN:NODE or RUN:CELL/NODE")
  .option("--adapter <folder>", "adapter for a model folder")
  .addOption(new Option("--device <name>", "what computes").choices(DEVICE_NAMES).default("auto"))
  .option("--host <address>", "where to listen; other machines reach only 0.0.0.0", "127.0.0.1")
  .option("--port <n>", "0 takes a free one", portNumber, 8000)
  .option("--batch-size <n>", "texts that are computed at once", positiveInteger, 8)
  .addOption(outOption());

interface Flags {
  readonly adapter?: string;
  readonly device: DeviceName;
  readonly host: string;
  readonly port: number;
  readonly batchSize: number;
  readonly out: string;
}

/** Of `deno task serve`. */
const PERMISSIONS = [
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-sys",
  "--allow-ffi=.cache/dawn",
  "--allow-net=127.0.0.1,localhost,[::1],0.0.0.0,[::]",
];

await runCommand(command, async () => {
  const { adapter, ...flags } = command.opts<Flags>();
  // Also in the process that only waits for another one: Ctrl-C reaches both.
  const { gentle } = listenForInterrupts(() => {});
  const status = await runWithWideVectors(flags.device, PERMISSIONS);
  if (status !== null) return status;
  const { serveModel } = await import("../pipeline/run_server.ts");
  const { answerLine } = await import("../pipeline/serving/answer_line.ts");
  await serveModel(command.args[0] ?? "", {
    ...flags,
    adapter: adapter ?? null,
    signal: gentle,
    onListen: (url, model) => console.error(`${model} at ${url}/v1/completions; Ctrl-C stops it`),
    onAnswer: (record) => console.error(answerLine(record, new Date())),
  });
  return EXIT_DONE;
});

function portNumber(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 0 && port <= 65535) return port;
  throw new InvalidArgumentError(`It must be a whole number from 0 to 65535, found "${text}".`);
}
