/**
 * Prompts of instructions, as the papers' code words them. Each stands before the output, byte by byte.
 *
 * @module
 */

/** Makes a prompt of an instruction. */
export interface InstructionTemplate {
  /** What `template:` calls it. */
  readonly name: string;
  /** Whose it is, in one clause. */
  readonly summary: string;
  /** The prompt; `input` is empty where the instruction needs none. */
  prompt(instruction: string, input: string): string;
}

const WITH_INPUT = "Below is an instruction that describes a task, paired with an input that " +
  "provides further context. Write a response that appropriately completes the request.";
const WITHOUT_INPUT = "Below is an instruction that describes a task. Write a response that " +
  "appropriately completes the request.";

/** All templates of instructions: they differ in white space, which models learn as well. */
export const INSTRUCTION_TEMPLATES: readonly InstructionTemplate[] = [
  {
    name: "alpaca",
    summary: "tatsu-lab/stanford_alpaca, train.py: nothing follows the last colon",
    prompt: (instruction, input) => alpacaPrompt(instruction, input, ""),
  },
  {
    name: "alpaca-qlora",
    summary: "artidoro/qlora, qlora.py: a space follows the last colon",
    prompt: (instruction, input) => alpacaPrompt(instruction, input, " "),
  },
  {
    name: "alpaca-lora",
    summary: "tloen/alpaca-lora, templates/alpaca.json: a newline follows the last colon",
    prompt: (instruction, input) => alpacaPrompt(instruction, input, "\n"),
  },
  {
    name: "llm-adapters",
    summary: "AGI-Edgerunners/LLM-Adapters, finetune.py: the body is indented by 16 spaces",
    prompt: llmAdaptersPrompt,
  },
];

function alpacaPrompt(instruction: string, input: string, end: string): string {
  return (input === "" ? WITHOUT_INPUT : WITH_INPUT) +
    `\n\n### Instruction:\n${instruction}` +
    (input === "" ? "" : `\n\n### Input:\n${input}`) +
    `\n\n### Response:${end}`;
}

/** The indentation of the source code has become part of the prompt, with its trailing spaces. */
function llmAdaptersPrompt(instruction: string, input: string): string {
  const indent = " ".repeat(16);
  return (input === "" ? `${WITHOUT_INPUT}  ` : `${WITH_INPUT} `) +
    `\n\n${indent}### Instruction:\n${indent}${instruction}` +
    (input === "" ? "" : `\n\n${indent}### Input:\n${indent}${input}`) +
    `\n\n${indent}### Response:\n${indent}`;
}
