/**
 * `task: perplexity` on a text.
 *
 * @module
 */

import { z } from "zod";
import { dataSources } from "../data/data_sources.ts";
import { TEXT_DATA, tokenizeDocuments } from "../data/text.ts";
import { BatchModel } from "../models/batch_model.ts";
import { allocateScores, scoreRows } from "../training/score.ts";
import { measurePerplexity, type PerplexityProtocol, perplexityRows } from "./perplexity.ts";
import type { EvaluationTask } from "./task.ts";

const parameters = z.strictObject({
  task: z.literal("perplexity"),
  name: z.string().regex(/^[a-z][a-z0-9_]*$/).default("perplexity")
    .describe("Name of the metric, where a node measures more than one."),
  data: TEXT_DATA.describe("The text."),
  window: z.int().min(2).default(512).describe("Tokens of a window."),
  stride: z.int().positive().optional()
    .describe("Advance windows by this many tokens and score only the new ones."),
  protocol: z.enum(["window", "document"]).default("window")
    .describe("window: the text is one stream; document: each document alone."),
}).refine(({ stride, protocol }) => stride === undefined || protocol === "window", {
  message: "stride belongs to the protocol window",
  path: ["stride"],
});

/** Parameters of {@linkcode perplexity}. */
export type PerplexityParameters = z.output<typeof parameters>;

/** Perplexity under the named protocol, with its standard error. */
export const perplexity: EvaluationTask<PerplexityParameters> = {
  name: "perplexity",
  summary: "Perplexity of a text under a named protocol",
  parameters,
  sources: ({ data }) => dataSources(data, "data"),
  rehearse(model, batchSize, { window }) {
    const batch = new BatchModel(model, { batchSize, length: window });
    model.device.free(allocateScores(batch));
    batch.release();
  },
  async run({ model, tokenizer, batchSize, resolve, report }, parameters) {
    const documents = await tokenizeDocuments(parameters.data, tokenizer, resolve);
    const protocol = protocolOf(parameters);
    const total = perplexityRows(documents, protocol).length;
    const batch = new BatchModel(model, { batchSize, length: parameters.window });
    try {
      const result = await measurePerplexity(
        documents,
        protocol,
        (rows) => scoreRows(batch, rows, (done) => report(done, total)),
      );
      return {
        [parameters.name]: {
          value: result.perplexity,
          standardError: result.standardError,
          protocol: result.protocol,
        },
        [`${parameters.name}_tokens`]: { value: result.tokens },
      };
    } finally {
      batch.release();
    }
  },
};

function protocolOf({ protocol, window, stride }: PerplexityParameters): PerplexityProtocol {
  if (protocol === "document") return { kind: "document", window };
  return stride === undefined ? { kind: "window", window } : { kind: "stride", window, stride };
}
