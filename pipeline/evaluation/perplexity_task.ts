/**
 * `task: perplexity` on a text or a dataset.
 *
 * @module
 */

import { z } from "zod";
import { dataSources } from "../data/data_sources.ts";
import { TEXT_DATA, type TextData, tokenizeDocuments } from "../data/text.ts";
import type { Metric } from "../graph/stage.ts";
import { BatchModel } from "../models/batch_model.ts";
import type { LanguageModel } from "../models/language_model.ts";
import { allocateScores, scoreRows } from "../training/score.ts";
import { measurePerplexity, type PerplexityProtocol, perplexityRows } from "./perplexity.ts";
import { type RowProtocol, SELECTIONS } from "./protocols/protocol.ts";
import { ROW_PROTOCOLS } from "./protocols/registry.ts";
import { ROW_DATA, type RowData, rowSources } from "./protocols/row_data.ts";
import type { EvaluationEnvironment, EvaluationTask } from "./task.ts";

/** Tokens of a window under the protocols that read text. */
const DEFAULT_WINDOW = 512;

/** Name of the metric, and of all metrics of `lm_eval` without a prefix. */
const DEFAULT_NAME = "perplexity";

const parameters = z.strictObject({
  task: z.literal("perplexity"),
  name: z.string().regex(/^[a-z][a-z0-9_]*$/).default(DEFAULT_NAME)
    .describe("Name of the metric, where a node measures more than one."),
  data: z.union([TEXT_DATA, ROW_DATA])
    .describe("The text; `rows:` for the protocols gptq, lm_eval and run_clm."),
  window: z.int().min(2).optional().describe(
    "Tokens of a window. Default: 512; gptq 2048, run_clm 1024, lm_eval all that the model reads.",
  ),
  stride: z.int().positive().optional()
    .describe("Advance windows by this many tokens and score only the new ones."),
  protocol: z.enum(["window", "document", "gptq", "lm_eval", "run_clm"]).default("window").describe(
    "window: the text is one stream; document: each document alone; " +
      ROW_PROTOCOLS.map(({ name, summary }) => `${name}: ${summary}`).join("; "),
  ),
  selection: z.enum(SELECTIONS).optional().describe(
    "gptq: what is joined. wikitext2 (default): all rows, with empty lines between; ptb: the same of " +
      "the validation split; ptb_new: of the test split, with spaces; c4: 256 drawn windows; c4_new: " +
      "the first 1100 documents, with spaces, 256 windows of them",
  ),
  add_bos_token: z.boolean().optional().describe(
    "lm_eval: whether the tokenizer adds its BOS to a page, behind the one that every page starts " +
      "from. Default: true, as since version 0.4.9.2",
  ),
}).superRefine(({ stride, protocol, data, selection, add_bos_token }, context) => {
  const belongs = (path: string, given: boolean, to: string) => {
    if (!given || protocol === to) return;
    context.addIssue({
      code: "custom",
      message: `${path} belongs to the protocol ${to}`,
      path: [path],
    });
  };
  belongs("stride", stride !== undefined, "window");
  belongs("selection", selection !== undefined, "gptq");
  belongs("add_bos_token", add_bos_token !== undefined, "lm_eval");
  const wanted = rowProtocol(protocol) === undefined ? "text" : "rows";
  if (wanted in data) return;
  context.addIssue({
    code: "custom",
    message: `the protocol ${protocol} reads \`${wanted}: path/to/file\``,
    path: ["data"],
  });
});

/** Parameters of {@linkcode perplexity}. */
export type PerplexityParameters = z.output<typeof parameters>;

/** Perplexity under the named protocol, with its standard error. */
export const perplexity: EvaluationTask<PerplexityParameters> = {
  name: "perplexity",
  summary: "Perplexity of a text under a named protocol",
  parameters,
  nameOf: ({ name }) => name,
  sources: ({ data }) => "rows" in data ? rowSources(data, "data") : dataSources(data, "data"),
  rehearse(model, batchSize, parameters) {
    const batch = new BatchModel(model, { batchSize, length: windowOf(parameters, model) });
    model.device.free(allocateScores(batch));
    batch.release();
  },
  run(environment, parameters) {
    const protocol = rowProtocol(parameters.protocol);
    return protocol === undefined
      ? measureText(environment, parameters)
      : measureRows(environment, parameters, protocol);
  },
};

function rowProtocol(name: PerplexityParameters["protocol"]): RowProtocol | undefined {
  return ROW_PROTOCOLS.find((protocol) => protocol.name === name);
}

function windowOf({ protocol, window }: PerplexityParameters, { config }: LanguageModel): number {
  if (window !== undefined) return window;
  const named = rowProtocol(protocol);
  return named === undefined ? DEFAULT_WINDOW : named.window ?? config.maxPositions;
}

async function measureText(
  { model, tokenizer, batchSize, resolve, report }: EvaluationEnvironment,
  parameters: PerplexityParameters,
): Promise<Readonly<Record<string, Metric>>> {
  const { name, stride } = parameters;
  const window = windowOf(parameters, model);
  const documents = await tokenizeDocuments(parameters.data as TextData, tokenizer, resolve);
  const protocol = textProtocol(parameters.protocol, window, stride);
  const total = perplexityRows(documents, protocol).length;
  const batch = new BatchModel(model, { batchSize, length: window });
  try {
    const { perplexity, standardError, protocol: measured, tokens } = await measurePerplexity(
      documents,
      protocol,
      (rows) => scoreRows(batch, rows, (done) => report(done, total)),
    );
    return {
      [name]: { value: perplexity, standardError, protocol: measured },
      [`${name}_tokens`]: { value: tokens },
    };
  } finally {
    batch.release();
  }
}

function textProtocol(
  protocol: PerplexityParameters["protocol"],
  window: number,
  stride: number | undefined,
): PerplexityProtocol {
  if (protocol === "document") return { kind: "document", window };
  return stride === undefined ? { kind: "window", window } : { kind: "stride", window, stride };
}

async function measureRows(
  { model, tokenizer, batchSize, resolve, report, log }: EvaluationEnvironment,
  parameters: PerplexityParameters,
  protocol: RowProtocol,
): Promise<Readonly<Record<string, Metric>>> {
  const { name, data, selection = "wikitext2", add_bos_token: addBosToken = true } = parameters;
  const window = windowOf(parameters, model);
  const input = { data: data as RowData, tokenizer, window, selection, addBosToken, resolve };
  const plan = await protocol.plan(input);
  if (plan.skipped > 0) log(`${name}: ${plan.skipped} rows without text were left out`);
  const batch = new BatchModel(model, { batchSize, length: window });
  try {
    const scores = await scoreRows(
      batch,
      plan.rows,
      (done) => report(done, plan.rows.length),
    );
    const losses = plan.rows.map(({ targets }, row) =>
      Array.from(scores[row] ?? []).filter((_, position) => targets[position] === 1)
    );
    const metrics = Object.entries(plan.measure(losses));
    if (plan.skipped > 0) metrics.push(["skipped_rows", { value: plan.skipped }]);
    return Object.fromEntries(metrics.map(([metric, value]) => [metricName(metric, name), value]));
  } finally {
    batch.release();
  }
}

/** Counts stand under the name of the metric; of several metrics each has its own. */
function metricName(metric: string, name: string): string {
  if (metric === "perplexity") return name;
  const own = /perplexity|bits/.test(metric);
  return own && name === DEFAULT_NAME ? metric : `${name}_${metric}`;
}
