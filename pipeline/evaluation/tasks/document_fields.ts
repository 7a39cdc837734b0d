/**
 * `doc_to_text`, `doc_to_target` and `doc_to_choice`: what a task makes of a document. Rules as in
 * `ConfigurableTask` of `lm_eval/api/task.py`.
 *
 * @module
 */

import { literal } from "../python/literal.ts";
import { FieldError, type Fields } from "./fields.ts";
import { findFunction } from "./functions/registry.ts";
import { isFunction, type Task } from "./task_node.ts";
import type { TaskConfig } from "./task_schema.ts";
import { Template } from "./template.ts";

/** Fields that examples may have otherwise than the question. */
export interface FieldSettings {
  readonly text: TaskConfig["doc_to_text"];
  readonly target: TaskConfig["doc_to_target"];
  readonly choice: TaskConfig["doc_to_choice"];
  readonly prefix: string | null;
}

/** Reads the fields of documents of a task. */
export class DocumentFields {
  readonly #task: Task;
  /** Columns of the documents that are evaluated; a setting that names one means the column. */
  readonly #columns: ReadonlySet<string>;
  readonly #templates = new Map<string, Template>();

  constructor(task: Task, columns: Iterable<string>) {
    this.#task = task;
    this.#columns = new Set(columns);
  }

  /** The question; a number stands for a choice whose text is the question (WinoGrande). */
  text(document: Fields, setting: TaskConfig["doc_to_text"]): string | number {
    const value = this.#value(document, setting ?? "");
    if (typeof value !== "string" || this.#isColumn(setting)) {
      return textOrNumber(value, "doc_to_text");
    }
    return this.#hasChoices() && isDigits(value) ? Number(value) : value;
  }

  /** The answer: a text, the number of a choice, or several answers that are right. */
  target(document: Fields, setting: TaskConfig["doc_to_target"]): unknown {
    if (Array.isArray(setting)) return setting;
    const value = this.#value(document, setting ?? "");
    if (typeof value === "boolean") return Number(value);
    if (typeof value === "bigint") return Number(value);
    if (typeof value !== "string" || this.#isColumn(setting)) return value;
    if (this.#hasChoices() && isDigits(value)) return Number(value);
    if (!(value.length >= 2 && value.startsWith("[") && value.endsWith("]"))) return value;
    try {
      return literal(value);
    } catch {
      return value;
    }
  }

  /** The texts among which a model chooses. */
  choices(document: Fields, setting: TaskConfig["doc_to_choice"]): string[] {
    const choices = this.#choiceValues(document, setting);
    if (Array.isArray(choices) && choices.every((choice) => typeof choice === "string")) {
      return choices;
    }
    throw new FieldError("doc_to_choice must give a list of texts");
  }

  /** A template or the name of a column; empty if there is none. */
  rendered(document: Fields, setting: string | null | undefined): string {
    return setting === null || setting === undefined || setting === ""
      ? ""
      : String(this.#value(document, setting));
  }

  #choiceValues(document: Fields, setting: TaskConfig["doc_to_choice"]): unknown {
    if (setting === null || setting === undefined) return null;
    if (typeof setting === "string") {
      const value = this.#value(document, setting);
      return this.#isColumn(setting) ? value : literal(String(value));
    }
    if (Array.isArray(setting)) return setting;
    return isFunction(setting) ? this.#value(document, setting) : Object.values(setting);
  }

  #value(document: Fields, setting: unknown): unknown {
    if (isFunction(setting)) {
      return findFunction(setting, "fields", this.#task.owners)(document);
    }
    if (typeof setting !== "string") return setting;
    if (this.#isColumn(setting)) {
      if (Object.hasOwn(document, setting)) return document[setting];
      throw new FieldError(`there is no column ${JSON.stringify(setting)}`);
    }
    let template = this.#templates.get(setting);
    if (template === undefined) this.#templates.set(setting, template = new Template(setting));
    return template.render(document);
  }

  #isColumn(setting: unknown): boolean {
    return typeof setting === "string" && this.#columns.has(setting);
  }

  #hasChoices(): boolean {
    return (this.#task.config.doc_to_choice ?? null) !== null;
  }
}

function textOrNumber(value: unknown, name: string): string | number {
  if (typeof value === "string" || typeof value === "number") return value;
  if (typeof value === "bigint" || typeof value === "boolean") return Number(value);
  throw new FieldError(`${name} must give a text: found ${JSON.stringify(value)}`);
}

function isDigits(text: string): boolean {
  return /^\d+$/.test(text);
}
