/**
 * Serves a model over HTTP until it is told to stop.
 *
 * @module
 */

import { readChatTemplate } from "./data/templates/chat_template_files.ts";
import { Tokenizer } from "./data/tokenizer.ts";
import { UserError } from "./errors.ts";
import { endTokens } from "./evaluation/text_generation.ts";
import { type DeviceName, openDevice } from "./executors/devices.ts";
import { openTarget } from "./served_target.ts";
import { Engine } from "./serving/engine.ts";
import { makeHandler, type RequestRecord } from "./serving/server.ts";
import { loadFrozen } from "./stages/trained_model.ts";

/** How to serve. */
export interface ServeOptions {
  /** Folder of results. */
  readonly out: string;
  /** Folder of an adapter for a model folder; null for none. */
  readonly adapter?: string | null;
  /** What computes. Default: "auto". */
  readonly device?: DeviceName;
  /** Address to listen at. Default: "127.0.0.1", which only this machine reaches. */
  readonly host?: string;
  /** Port to listen at; 0 takes a free one. Default: 8000. */
  readonly port?: number;
  /** Texts that are computed at once. Default: 8. */
  readonly batchSize?: number;
  /** Aborted: what is generated ends after the next tokens. */
  readonly signal: AbortSignal;
  /** Called when the server answers. */
  readonly onListen: (url: string, model: string) => void;
  /** Called for every answered request. */
  readonly onAnswer: (record: RequestRecord) => void;
}

/**
 * Serves a model until `signal` is aborted and all answers are sent.
 *
 * @param target See `openTarget`.
 * @throws {UserError | ConfigurationError} If there is no such model, or the address is taken.
 * @throws {DeviceError} If the device is missing or too small.
 */
export async function serveModel(target: string, options: ServeOptions): Promise<void> {
  const { name, trained } = await openTarget(target, options.out, options.adapter ?? null);
  using _ = trained;
  const { folder, config } = trained.model;
  const tokenizer = Tokenizer.open(folder, config.vocabSize);
  const device = await openDevice(options.device ?? "auto");
  try {
    const engine = new Engine(await loadFrozen(device, trained), tokenizer, {
      endTokens: endTokens(folder, tokenizer),
      batchSize: options.batchSize ?? 8,
    });
    const handler = makeHandler(
      { name, engine, chatTemplate: readChatTemplate(folder) },
      options.onAnswer,
    );
    const server = listen(options, handler, (url) => options.onListen(url, name));
    const stopped = Promise.withResolvers<void>();
    options.signal.addEventListener("abort", () => stopped.resolve());
    if (!options.signal.aborted) await stopped.promise;
    await Promise.all([engine.close(), server.shutdown()]);
  } finally {
    device.close();
  }
}

function listen(
  { host = "127.0.0.1", port = 8000 }: ServeOptions,
  handler: (request: Request) => Promise<Response>,
  onListen: (url: string) => void,
): Deno.HttpServer {
  try {
    return Deno.serve({
      hostname: host,
      port,
      onListen: (address) => onListen(`http://${hostInUrl(host)}:${address.port}`),
    }, handler);
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) {
      throw new UserError(
        `Something listens at ${host}:${port} already; choose another port with --port`,
      );
    }
    if (error instanceof Deno.errors.NotCapable || error instanceof Deno.errors.AddrNotAvailable) {
      throw new UserError(
        `The server does not listen at ${host}; use --host 127.0.0.1, or 0.0.0.0 to be reached from ` +
          `other machines`,
      );
    }
    throw error;
  }
}

function hostInUrl(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
