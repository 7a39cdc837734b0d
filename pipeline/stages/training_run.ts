/**
 * What `train` and `pretrain` share: data, a model set up for training, the loop, and what it leaves.
 *
 * @module
 */

import { join } from "node:path";
import type { CountingDevice } from "../../kernels/counting/device.ts";
import { type Device, sizeOf } from "../../kernels/device.ts";
import type { HostAdapter } from "../adapters/adapter.ts";
import {
  type AdapterOutline,
  adapterParameterShapes,
  placeOutline,
  readBackAdapter,
  writeToDevice,
} from "../adapters/placement.ts";
import { dataSources } from "../data/data_sources.ts";
import { loadDataset, TRAINING_DATA, type TrainingData } from "../data/load_dataset.ts";
import type { Dataset } from "../data/dataset.ts";
import { PackedRows } from "../data/packed_rows.ts";
import { Tokenizer } from "../data/tokenizer.ts";
import type { MemorySetting, Source, StageContext, StageOutcome } from "../graph/stage.ts";
import { BatchModel } from "../models/batch_model.ts";
import {
  allocateLanguageModel,
  fillLanguageModel,
  freeLanguageModel,
  type LanguageModel,
  type ModelOutline,
  type ModelSource,
} from "../models/language_model.ts";
import { ParameterSpace } from "../models/parameters.ts";
import { below, halvings } from "../memory/settings.ts";
import { Boosters } from "../training/boosters.ts";
import { allocateTraining, LOSSES_FILE, train, type TrainingResult } from "../training/loop.ts";
import { type TrainingOptions, trainingShape } from "../training/options.ts";
import { RowLengths } from "../training/row_lengths.ts";
import type { XgbloraOptions } from "../training/xgblora.ts";
import { parts } from "../models/tensor_parts.ts";
import { allocateScores } from "../training/score.ts";
import { boostedOutline, roundsOf, schemeFacts } from "./boosting.ts";
import { fullParameterShapes } from "./full_training.ts";
import { adapterBytes, takeConversion } from "./outline.ts";
import { writeProbe } from "./probe.ts";

/** Keys of a stage that trains. */
export const trainingParameters = {
  data: TRAINING_DATA.describe("What to train on."),
  evaluation: TRAINING_DATA.optional().describe("Scored every `evaluate_every` steps."),
  ...trainingShape,
};

/** Those of them that leave the result as it is, bit by bit. */
export const incidentalTrainingParameters: readonly string[] = [
  "activation_checkpointing",
  "checkpoint_every",
  "log_every",
];

/** What to change where memory does not suffice. */
export const trainingMemorySettings: readonly MemorySetting[] = [
  { path: "activation_checkpointing", smaller: (value) => value === true ? [] : [true] },
  { path: "batch_size", smaller: below },
  { path: "length", smaller: (value) => halvings(value, 2) },
];

/** Their values. */
export interface TrainingParameters extends TrainingOptions {
  readonly data: TrainingData;
  readonly evaluation?: TrainingData | undefined;
}

/** What is trained. */
export interface TrainingSubject {
  readonly source: ModelSource;
  /** Null to train all weights. */
  readonly adapter: HostAdapter | null;
  /** Boosters in rounds instead of one adapter. */
  readonly scheme?: XgbloraOptions | undefined;
  /** Folder with `tokenizer.json`. */
  readonly tokenizerFolder: string;
}

/** Files outside the store that training reads. */
export function trainingSources({ data, evaluation }: TrainingParameters): readonly Source[] {
  return [
    ...dataSources(data, "data"),
    ...(evaluation === undefined ? [] : dataSources(evaluation, "evaluation")),
  ];
}

/** Trains; `save` writes the model, or what its adapter has become, into the stage's folder. */
export async function runTraining(
  context: StageContext<TrainingParameters>,
  subject: TrainingSubject,
  save: (model: LanguageModel, adapter: HostAdapter | null) => Promise<void>,
): Promise<StageOutcome> {
  const { parameters: options, seed } = context;
  const tokenizer = Tokenizer.open(subject.tokenizerFolder, subject.source.config.vocabSize);
  const load = (data: TrainingData, path: string) =>
    loadDataset(
      data,
      tokenizer,
      { length: options.length, folder: subject.tokenizerFolder },
      (reference) => context.resolve({ reference, path }),
    );
  context.report({ activity: "reading data" });
  const examples = await load(options.data, "data");
  const evaluationExamples = options.evaluation === undefined
    ? null
    : await load(options.evaluation, "evaluation");
  const rowsOf = (data: Dataset) => options.packing ? new PackedRows(data) : data;
  const dataset = rowsOf(examples);
  const evaluation = evaluationExamples === null ? null : rowsOf(evaluationExamples);
  for (const remark of [...dataset.remarks ?? [], ...evaluation?.remarks ?? []]) {
    context.remark(remark);
  }
  const { source, adapter } = subject;
  const { model, batch, rowLengths, boosters } = allocateTrained(
    await context.device(),
    subject,
    options,
  );
  try {
    await fillLanguageModel(model, source);
    const rounds = roundsOf(boosters, subject, { steps: options.steps, seed, log: context.log });
    if (adapter !== null && rounds === null) writeToDevice(model, adapter);
    const result = await train({
      trainable: batch,
      rowLengths,
      dataset,
      evaluation,
      options,
      rounds,
      seed,
      checkpointFolder: context.checkpoint,
      signal: context.signal,
      report: context.report,
      log: context.log,
    });
    const trained = adapter === null
      ? null
      : await (boosters?.adapter(adapter) ?? readBackAdapter(model, adapter));
    await save(model, trained);
    await Deno.copyFile(join(context.checkpoint, LOSSES_FILE), join(context.folder, LOSSES_FILE));
    await writeProbe(context.folder, evaluationExamples ?? examples);
    return outcomeOf(result, {
      trained_parameters: model.parameters.count,
      ...schemeFacts(subject, seed),
    });
  } finally {
    rowLengths?.release();
    batch.release();
    boosters?.release();
    freeLanguageModel(model);
  }
}

/** What decides the memory of training. */
interface TrainedOutline {
  readonly source: ModelOutline;
  /** Null to train all weights. */
  readonly adapter: AdapterOutline | null;
  readonly scheme?: XgbloraOptions | undefined;
}

function allocateTrained(
  device: Device,
  { source, adapter, scheme }: TrainedOutline,
  options: TrainingOptions,
): {
  model: LanguageModel;
  batch: BatchModel;
  rowLengths: RowLengths | null;
  boosters: Boosters | null;
} {
  const dropoutKey = adapter !== null && options.dropout > 0
    ? device.tensor("u32", [2], "dropout key")
    : null;
  const space = new ParameterSpace(
    device,
    adapter === null ? fullParameterShapes(source.config) : adapterParameterShapes(adapter),
  );
  const tokens = options.batch_size * options.length;
  const boosters = adapter === null || scheme === undefined
    ? null
    : new Boosters(device, space, adapter, { ...scheme, tokens });
  const dropout = dropoutKey === null ? null : { rate: options.dropout, key: dropoutKey };
  const model = allocateLanguageModel(
    device,
    source,
    space,
    adapter === null ? undefined : placeOutline(adapter, dropout, boosters?.earlier),
  );
  const batch = new BatchModel(model, {
    batchSize: options.batch_size,
    length: options.length,
    packed: options.packing,
    checkpointing: options.activation_checkpointing === true,
    dropoutKey,
  });
  // Boosters of earlier rounds have activations of their own, for rows of one length.
  const rowLengths = options.group_by_length && boosters === null ? new RowLengths(batch) : null;
  return { model, batch, rowLengths, boosters };
}

/** The allocations of {@linkcode runTraining}, in its order. */
export function rehearseTraining(
  device: CountingDevice,
  outline: TrainedOutline,
  options: TrainingParameters,
): void {
  const { ledger } = device;
  const { adapter, scheme } = outline;
  if (adapter !== null) ledger.take("host", "adapter", adapterBytes(adapter));
  takeConversion(ledger, outline.source);
  const { model, batch, rowLengths, boosters } = allocateTrained(device, outline, options);
  const { optimizer } = allocateTraining(batch, options, scheme?.penalty);
  rowLengths?.recordAll();
  if (options.evaluation !== undefined && options.evaluate_every > 0) {
    ledger.phase("evaluating");
    device.free(allocateScores(batch));
  }
  ledger.phase("saving");
  const slabs = batch.slabs.map(({ parameters }) => parameters);
  const state = [...slabs, ...optimizer.moments.values(), ...boosters?.state.values() ?? []];
  for (const tensor of state) {
    for (const { count } of parts(tensor)) {
      ledger.take("host", "part of a checkpoint", 4 * count).drop();
    }
  }
  if (adapter !== null) {
    const trained = adapterBytes(boostedOutline(adapter, scheme));
    ledger.take("host", "trained values", trained).drop();
  } else {
    for (const { shape } of fullParameterShapes(model.config)) {
      for (const { count } of parts({ size: sizeOf(shape) })) {
        ledger.take("host", "part of the trained weights", 4 * count).drop();
      }
    }
  }
}

function outcomeOf(
  { records, tokens, resumedFrom, tokensHere, seconds }: TrainingResult,
  facts: NonNullable<StageOutcome["facts"]>,
): StageOutcome {
  const last = records.at(-1);
  return {
    metrics: {
      ...(last === undefined ? {} : { loss: { value: last.loss, protocol: "last step" } }),
      ...(last?.evaluation_loss === undefined
        ? {}
        : { evaluation_loss: { value: last.evaluation_loss } }),
    },
    facts: {
      ...facts,
      target_tokens: tokens,
      resumed_from_step: resumedFrom,
      tokens_per_second: seconds > 0 ? Math.round(tokensHere / seconds) : 0,
    },
  };
}
