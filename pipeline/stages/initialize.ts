/**
 * `initialize`: the adapters of a model before training, or, with `form: full`, the decision to train
 * the model's own weights.
 *
 * @module
 */

import { z } from "zod";
import { type HostModule, writeAdapter } from "../adapters/adapter.ts";
import { forms } from "../adapters/forms.ts";
import { CALIBRATION, calibrationShape, calibrationSources } from "../calibration/options.ts";
import { rehearseCalibration } from "../calibration/rehearse.ts";
import { adapterParameters, type AdapterShape, planAdapter } from "../adapters/plan.ts";
import { UserError } from "../errors.ts";
import { type PeftConfig, readPeftAdapter } from "../formats/peft.ts";
import type { Source, Stage, StageOutcome } from "../graph/stage.ts";
import {
  initializerFor,
  initializerSchema,
  modelInitializerFor,
  trainsModel,
} from "../initializers/registry.ts";
import {
  LINEAR_NAMES,
  type LinearShape,
  modelLinears,
  parameterCount,
} from "../models/architecture.ts";
import { below, halvings } from "../memory/settings.ts";
import type { ModelOutline } from "../models/language_model.ts";
import { ModelFolder } from "../models/model_folder.ts";
import { formatBytes, zeroBlock } from "../models/quantized_tensors.ts";
import { initializeLayers, initializerNeeds } from "./initialize_layers.ts";
import { initializeModel } from "./initialize_model.ts";
import { adapterBytes, inputOutline, plainOutline } from "./outline.ts";
import { FULL_FILE } from "./trained_model.ts";

/** Quantizers whose weights have no zero points that an adapter could be merged into. */
const WITHOUT_ZEROS: readonly string[] = ["none", "nf4", "billm"];

const parameters = z.strictObject({
  form: z.enum([...forms.map(({ name }) => name), "full"])
    .describe("lora, qa-lora, q-blora, qa-blora, qa-hira, or full: train all weights."),
  rank: z.int().positive().default(16).describe("Nominal rank r."),
  alpha: z.number().positive().default(16).describe(
    "The adapter's product is scaled by alpha / rank.",
  ),
  lambda: z.int().positive().default(2)
    .describe("Q-BLoRA: width of pooling and repetition; QA-BLoRA: width of repetition."),
  pool: z.int().positive().optional().describe("Pooled inputs; default: the quantization group."),
  repeat: z.int().positive().optional().describe("Repeated outputs; default: see lambda."),
  pooling: z.enum(["average", "sum"]).default("average")
    .describe("Mean of a pool, or its sum as in QA-LoRA's paper (needs a smaller learning rate)."),
  budget: z.literal("lora").optional()
    .describe("Choose ranks so that each layer has LoRA's parameters at `rank`."),
  use_rslora: z.boolean().default(false).describe("Scale by alpha / sqrt(rank)."),
  target_modules: z.array(z.enum(LINEAR_NAMES)).min(1).default([...LINEAR_NAMES])
    .describe("Adapted linear layers."),
  init: z.union([
    initializerSchema,
    z.strictObject({ peft: z.string().describe("Folder of a LoRA adapter in PEFT format.") }),
  ]).prefault("zero").describe("How A and B start: a method, or an adapter in PEFT format."),
  calibration: CALIBRATION.optional()
    .describe("Text that the base reads, for methods that look at the inputs of layers."),
});

/** Parameters of {@linkcode initialize}. */
export type InitializeParameters = z.output<typeof parameters>;

/** See the module documentation. */
export const initialize: Stage<InitializeParameters> = {
  name: "initialize",
  version: 1,
  summary: "Place adapters on a model, before training",
  parameters,
  accepts: ["model"],
  produces: "adapter",
  dependsOn: ({ form, init, calibration }) => ({
    seed: form !== "full" && !("peft" in init),
    device: calibration !== undefined,
  }),
  sources: ({ init, calibration }) => [
    ..."peft" in init ? [peftSource(init.peft)] : [],
    ...calibrationSources(calibration),
  ],
  check(options, upstream) {
    const form = forms.find(({ name }) => name === options.form);
    const quantizer = upstream.find(({ stage }) => stage === "quantize")?.parameters as
      | { quantizer?: { method?: string } }
      | undefined;
    const method = quantizer?.quantizer?.method;
    const problems = [];
    if (form?.mergesExactly && WITHOUT_ZEROS.includes(method ?? "")) {
      problems.push({
        path: "form",
        message: `The form ${form.name} aligns with integer quantization blocks, but the base is ` +
          `quantized with "${method}"; use an integer quantizer such as rtn, or lora or q-blora`,
      });
    }
    if (options.form === "full" && method !== undefined && method !== "none") {
      problems.push({
        path: "form",
        message: `The form full trains the weights themselves, but the base is quantized with ` +
          `"${method}"; use quantizer: { method: none }`,
      });
    }
    if ("peft" in options.init && options.form !== "lora") {
      problems.push({
        path: "init.peft",
        message: `A PEFT adapter is a plain LoRA, but the form is ${options.form}; use form: lora`,
      });
    }
    if (method === "checkpoint" && readsOriginal(options)) {
      problems.push({
        path: options.calibration === undefined ? "init" : "calibration",
        message: "The weights of a checkpoint before it was quantized are not to be had, and " +
          "initializing looks at them; quantize the original here, or use init: zero or gaussian " +
          "without calibration",
      });
    }
    return [...problems, ...calibrationProblems(options)];
  },
  memorySettings: [
    { path: "calibration.batch_size", smaller: below },
    { path: "rank", smaller: (rank) => halvings(rank, 1) },
  ],
  async forecast({ parameters: options, input, resolve }) {
    const { model } = inputOutline(input);
    if (options.form === "full") {
      return { outline: { ...plainOutline(model), full: true }, rehearse: () => {} };
    }
    const linears = modelLinears(model.config);
    const modules = "peft" in options.init
      ? importPeft((await resolve(peftSource(options.init.peft)))[0] ?? "", linears).modules
      : adapterShapes(options, linears, model);
    const adapter = { description: { form: options.form }, modules };
    return {
      outline: { model, adapter, full: false, probeLength: 0 },
      rehearse: (device) => {
        const { ledger } = device;
        ledger.take("host", "adapter", adapterBytes(adapter));
        const { calibration, init } = options;
        if ("peft" in init) return;
        const stored = linears.map(({ path, rows, columns }) =>
          formatBytes(model.moduleFormat(path), rows, columns)
        );
        ledger.take("host", "a layer of the base", Math.max(...stored)).drop();
        if (calibration === undefined) return;
        const original = { config: model.config, moduleFormat: () => null };
        const targets = adapterShapes(options, linears, model);
        if (trainsModel(init)) {
          const shape = calibrationShape(calibration, model.config);
          const plan = { original, base: model, targets, shape };
          modelInitializerFor(init).rehearse(device, plan, init);
          // A process keeps what it had: the errors are measured on top of it.
          const kept = device.inHostMemory ? device.memory().peak : 0;
          ledger.take("host", "device memory", kept);
        }
        const source = calibration.activations === "full" ? original : model;
        const largest = Math.max(...linears.map(({ rows, columns }) => rows * columns));
        ledger.take("host", "a layer", 4 * largest);
        rehearseCalibration(
          device,
          source,
          null,
          calibration,
          initializerNeeds(init, null, targets),
        );
      },
    };
  },
  async run(context) {
    const { parameters: options, input } = context;
    if (input === null) throw new RangeError("initialize needs a model");
    using model = ModelFolder.open(input.folder);
    if (options.form === "full") {
      if (model.quantization !== null) {
        throw new UserError(
          `The form full trains the weights themselves, but "${input.node}" is quantized`,
        );
      }
      await Deno.writeTextFile(
        `${context.folder}/${FULL_FILE}`,
        JSON.stringify({ base: input.key }) + "\n",
      );
      return { metrics: {}, facts: { trained_parameters: parameterCount(model.config) } };
    }
    const linears = modelLinears(model.config);
    const { form, pooling, init } = options;
    let outcome: StageOutcome = { metrics: {} };
    let modules: ReadonlyMap<string, HostModule>;
    let peft: PeftConfig | null;
    let base: string | null = input.key;
    if ("peft" in init) {
      ({ modules, peft } = importPeft(
        (await context.resolve(peftSource(init.peft)))[0] ?? "",
        linears,
      ));
    } else {
      const targets = adapterShapes(options, linears, model);
      const initialized = trainsModel(init)
        ? await initializeModel(context, init, targets, model)
        : await initializeLayers(context, init, targets, model);
      modules = initialized.modules;
      peft = peftConfig(options);
      if (initialized.ownBase) base = null;
      outcome = initialized;
    }
    await writeAdapter(context.folder, { description: { form, pooling, base, peft }, modules });
    const count = [...modules.values()]
      .reduce((sum, { shape }) => sum + adapterParameters(shape), 0);
    return {
      metrics: { adapter_parameters: { value: count }, ...outcome.metrics },
      facts: {
        form,
        pooling,
        ...("peft" in init ? {} : { init: init.method }),
        ...(base === null ? { base: "its own: the initializer moved the quantized weights" } : {}),
        ...outcome.facts,
      },
    };
  },
};

/** Whether a stage reads the weights from which its base was quantized. */
function readsOriginal({ form, init, calibration }: InitializeParameters): boolean {
  if (form === "full" || "peft" in init) return false;
  return calibration !== undefined || trainsModel(init) ||
    initializerFor(init).needsOriginal === true;
}

/** What is wrong with the `calibration:` of a stage, or with its absence. */
function calibrationProblems(
  { form, init, calibration }: InitializeParameters,
): { path: string; message: string }[] {
  if ("peft" in init || form === "full") {
    const what = form === "full" ? "The form full has no adapter" : "A PEFT adapter has its values";
    return calibration === undefined
      ? []
      : [{ path: "calibration", message: `${what}, so nothing is calibrated; leave it out` }];
  }
  const needed = trainsModel(init) || (initializerFor(init).calibration?.(init) ?? null) !== null;
  if (!needed || calibration !== undefined) return [];
  return [{
    path: "init",
    message: `The initializer ${init.method} looks at the inputs of layers; add ` +
      "`calibration: { data: { text: path/to/text } }`",
  }];
}

function peftSource(folder: string): Source {
  return { reference: folder, path: "init.peft" };
}

/** Shapes of the adapter of every target, by path. */
function adapterShapes(
  options: InitializeParameters,
  linears: readonly LinearShape[],
  model: ModelOutline,
): Map<string, { readonly linear: LinearShape; readonly shape: AdapterShape }> {
  const shapes = new Map<string, { linear: LinearShape; shape: AdapterShape }>();
  for (const linear of linears) {
    const format = model.moduleFormat(linear.path);
    const shape = planAdapter(
      {
        ...options,
        budget: options.budget ?? null,
        rankStabilized: options.use_rslora,
        targets: options.target_modules,
      },
      linear,
      zeroBlock(format),
    );
    if (shape !== null) shapes.set(linear.path, { linear, shape });
  }
  return shapes;
}

/** What `adapter_config.json` says of a plain LoRA; null for pooled forms. */
function peftConfig(
  { form, rank, alpha, use_rslora, target_modules }: InitializeParameters,
): PeftConfig | null {
  return form === "lora" ? { r: rank, lora_alpha: alpha, use_rslora, target_modules } : null;
}

/** The modules of a PEFT LoRA adapter, with the scale its own configuration states. */
function importPeft(
  folder: string,
  linears: readonly LinearShape[],
): { modules: Map<string, HostModule>; peft: PeftConfig } {
  const { config, modules: factors } = readPeftAdapter(folder);
  const modules = new Map<string, HostModule>();
  for (const [path, { a, b, rank, scale, inputs, outputs }] of factors) {
    const linear = linears.find((linear) => linear.path === path);
    if (linear === undefined) {
      throw new UserError(`${folder} adapts "${path}", which the base model does not have`);
    }
    if (inputs !== linear.columns || outputs !== linear.rows) {
      throw new UserError(
        `${folder}: the adapter of "${path}" is for a ${outputs} x ${inputs} weight, but the base ` +
          `model's is ${linear.rows} x ${linear.columns}`,
      );
    }
    const shape: AdapterShape = {
      pool: 1,
      repeat: 1,
      rank,
      scale,
      a: [rank, inputs],
      b: [outputs, rank],
    };
    modules.set(path, { shape, a, b });
  }
  return { modules, peft: config };
}
