/**
 * A server on loopback with a small random model, and its client.
 *
 * @module
 */

import { ReferenceDevice } from "../../../kernels/reference/device.ts";
import type { Device } from "../../../kernels/device.ts";
import { trainByteLevelBpe } from "../../data/byte_level_bpe.ts";
import { Tokenizer } from "../../data/tokenizer.ts";
import { parseConfig } from "../../models/config.ts";
import { type LanguageModel, loadLanguageModel } from "../../models/language_model.ts";
import { RandomModel } from "../../models/random_model.ts";
import { Engine } from "../engine.ts";
import { makeHandler, type RequestRecord } from "../server.ts";

const files = trainByteLevelBpe(["the cat sat on the mat; der Kater saß – «schön» — 猫"], {
  vocabSize: 290,
});

/** Its post-processor adds BOS. */
export const tokenizer: Tokenizer = new Tokenizer(files.tokenizer, files.config);

/** Positions of the model. */
export const POSITIONS = 64;

/** Weights do not depend on the device. */
export async function randomModel(
  device: Device = new ReferenceDevice(),
  positions: number = POSITIONS,
): Promise<LanguageModel> {
  const config = parseConfig({
    hidden_size: 16,
    intermediate_size: 12,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    vocab_size: tokenizer.vocabSize,
    max_position_embeddings: positions,
  }, "test");
  return await loadLanguageModel(device, new RandomModel(config, 1, 0.5));
}

/** A running server. */
export interface Loopback extends AsyncDisposable {
  readonly url: string;
  readonly engine: Engine;
  /** Of all answered requests. */
  readonly records: readonly RequestRecord[];
  /** The JSON answer to a POST request, and its status. */
  // deno-lint-ignore no-explicit-any -- what a client knows of an answer, a test checks
  post(path: string, body: unknown): Promise<{ status: number; json: any }>;
}

/** Starts a server; `endTokens` end its texts. */
export async function startServer({ model, endTokens = [], chatTemplate = null }: {
  readonly model?: LanguageModel;
  readonly endTokens?: Iterable<number>;
  readonly chatTemplate?: string | null;
} = {}): Promise<Loopback> {
  const records: RequestRecord[] = [];
  const engine = new Engine(model ?? await randomModel(), tokenizer, {
    endTokens: new Set(endTokens),
    batchSize: 3,
  });
  const handler = makeHandler(
    {
      name: "random",
      engine,
      chatTemplate: {
        source: chatTemplate,
        name: "tokenizer_config.json",
        roles: { bos_token: tokenizer.decode([tokenizer.bosId ?? 0]) },
        specialTokens: [],
      },
    },
    (record) => records.push(record),
  );
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, handler);
  const url = `http://127.0.0.1:${server.addr.port}`;
  return {
    url,
    engine,
    records,
    async post(path, body) {
      const response = await fetch(url + path, { method: "POST", body: JSON.stringify(body) });
      return { status: response.status, json: await response.json() };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([engine.close(), server.shutdown()]);
    },
  };
}
