/**
 * Prompts: description, examples, question (`fewshot_context` of `lm_eval/api/task.py`).
 *
 * @module
 */

import { endsWithSpace, startsWithSpace } from "../python/text.ts";
import type { DocumentFields, FieldSettings } from "./document_fields.ts";
import { FieldError, type Fields } from "./fields.ts";
import type { Task } from "./task_node.ts";

/** What a document becomes. */
export interface Prompt {
  /** One, or as many as there are choices where the choices are parts of the question. */
  readonly contexts: readonly string[];
  /** Null where the task has none. */
  readonly choices: readonly string[] | null;
  /** What is right. */
  readonly target: unknown;
  /** The number of the right choice, where the question says it and not the target (WinoGrande). */
  readonly gold: number | null;
}

/** Makes the prompts of a task. */
export class PromptBuilder {
  readonly #task: Task;
  readonly #fields: DocumentFields;
  readonly #question: FieldSettings;
  readonly #example: FieldSettings;

  constructor(task: Task, fields: DocumentFields) {
    const { config } = task;
    const fewshot = config.fewshot_config ?? null;
    this.#task = task;
    this.#fields = fields;
    this.#question = {
      text: config.doc_to_text,
      target: config.doc_to_target,
      choice: config.doc_to_choice,
      prefix: config.gen_prefix ?? null,
    };
    this.#example = {
      text: fewshot?.doc_to_text ?? config.doc_to_text,
      target: fewshot?.doc_to_target ?? config.doc_to_target,
      choice: fewshot?.doc_to_choice ?? config.doc_to_choice,
      prefix: fewshot?.gen_prefix ?? config.gen_prefix ?? null,
    };
  }

  /** The prompt for a question that follows some examples. */
  build(document: Fields, examples: readonly Fields[]): Prompt {
    const { config } = this.#task;
    const context = this.#fields.rendered(document, config.description) +
      examples.map((example) => this.#exampleText(example)).join("");
    const prefix = this.#fields.rendered(document, this.#question.prefix);
    const choices = this.#choices(document, this.#question);
    const text = this.#fields.text(document, this.#question.text);
    const target = this.#fields.target(document, this.#question.target);
    if (typeof text === "string") {
      return {
        contexts: [context + questionText(text, prefix, config.target_delimiter)],
        choices,
        target,
        gold: null,
      };
    }
    if (choices === null) {
      throw new FieldError("doc_to_text gives a number, but there are no choices");
    }
    // The harness takes the few-shot delimiter for these, which has no effect without an answer.
    const contexts = choices.map((choice) => context + questionText(choice, prefix, ""));
    return { contexts, choices, target, gold: text };
  }

  #choices(document: Fields, settings: FieldSettings): string[] | null {
    const { choice } = settings;
    return choice === null || choice === undefined ? null : this.#fields.choices(document, choice);
  }

  /** Question and answer of an example, with the delimiters around the answer. */
  #exampleText(document: Fields): string {
    const { config } = this.#task;
    const fewshot = config.fewshot_config ?? null;
    const delimiter = fewshot?.target_delimiter ?? config.target_delimiter;
    const end = fewshot?.fewshot_delimiter ?? config.fewshot_delimiter;
    const prefix = this.#fields.rendered(document, this.#example.prefix);
    const choices = this.#choices(document, this.#example);
    const text = this.#fields.text(document, this.#example.text);
    const question = typeof text === "string" ? text : choiceAt(choices, text);
    const target = this.#fields.target(document, this.#example.target);
    if (target === "" || target === null || target === undefined) {
      return questionText(question, prefix, delimiter);
    }
    const answer = answerText(target, typeof text === "string" ? choices : null);
    const isDelimited = prefix === "" || needsDelimiter(question, prefix);
    return question + (isDelimited ? delimiter : "") + join(prefix, answer) + end;
  }
}

function questionText(question: string, prefix: string, delimiter: string): string {
  if (prefix === "") return question;
  return question + (needsDelimiter(question, prefix) ? delimiter : "") + prefix;
}

function answerText(target: unknown, choices: readonly string[] | null): string {
  if (typeof target === "number" && choices !== null) return choiceAt(choices, target);
  const answer = Array.isArray(target) ? target[0] : target;
  if (typeof answer === "string") return answer;
  throw new FieldError(`the answer of an example must be a text: found ${JSON.stringify(target)}`);
}

function choiceAt(choices: readonly string[] | null, index: number): string {
  const choice = choices?.at(index);
  if (choice !== undefined) return choice;
  throw new FieldError(
    `the answer is choice ${index}, but there are ${choices?.length ?? 0} choices`,
  );
}

function needsDelimiter(left: string, right: string): boolean {
  return left !== "" && !endsWithSpace(left) && !startsWithSpace(right);
}

function join(prefix: string, answer: string): string {
  if (prefix === "") return answer;
  return needsDelimiter(prefix, answer) ? `${prefix} ${answer}` : prefix + answer;
}
