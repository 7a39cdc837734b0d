/**
 * Jinja templates, which arrange the fields of a row and execute nothing else.
 *
 * @module
 */

import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";

/** How a template is read. */
export interface JinjaOptions {
  /**
   * Drops the newline after a block tag and the spaces before one, as transformers sets it for chat
   * templates (`trim_blocks`, `lstrip_blocks`).
   *
   * @default false
   */
  readonly trimBlocks?: boolean;
}

/** A mistake in a template, or one that it raises on what it is given; without a place. */
export class TemplateError extends Error {
  /** Fixed, for messages. */
  override readonly name: string = "TemplateError";
}

/**
 * A template, parsed once. A newline at its end is kept, as lm-evaluation-harness does and Jinja alone
 * does not.
 *
 * @example
 * ```ts
 * import { JinjaTemplate } from "./jinja.ts";
 *
 * const template = new JinjaTemplate("Question: {{ question | trim }}\nAnswer:\n");
 * const text = template.render({ question: " 1 + 1? " });
 * if (text !== "Question: 1 + 1?\nAnswer:\n") throw new Error("rendered");
 * ```
 */
export class JinjaTemplate {
  readonly #program: ReturnType<typeof parse>;

  /**
   * Parses a template.
   *
   * @throws {TemplateError} If it is none.
   */
  constructor(source: string, options: JinjaOptions = {}) {
    const { trimBlocks = false } = options;
    try {
      // The library takes one newline off the end.
      this.#program = parse(
        tokenize(trimBlocks ? source : source.replace(/\n$/, "\n\n"), {
          trim_blocks: trimBlocks,
          lstrip_blocks: trimBlocks,
        }),
      );
    } catch (error) {
      throw templateError(error);
    }
  }

  /**
   * The text for some values.
   *
   * @param values Variables by name; what is not there is undefined, and renders as nothing.
   * @param onMissing Called with the name of every variable that is asked for and not there.
   * @throws {TemplateError} If the template raises an exception, or cannot work with the values.
   */
  render(
    values: Readonly<Record<string, unknown>>,
    onMissing: (name: string) => void = () => {},
  ): string {
    const environment = new Environment();
    for (const [name, value] of Object.entries({ ...GLOBALS, ...values })) {
      environment.variables.delete(name);
      environment.set(name, value);
    }
    // Scopes of loops and macros ask their parents, by way of this map.
    environment.variables = new WatchedVariables(environment.variables, onMissing);
    try {
      return String(new Interpreter(environment).run(this.#program).value);
    } catch (error) {
      throw templateError(error);
    }
  }
}

/** What Jinja itself defines. */
export const JINJA_GLOBALS: Readonly<Record<string, unknown>> = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  range: (start: number, stop?: number, step = 1) => {
    const [first, end] = stop === undefined ? [0, start] : [start, stop];
    return Array.from(
      { length: Math.max(0, Math.ceil((end - first) / step)) },
      (_, index) => first + index * step,
    );
  },
};

/** What transformers adds. No clock: equal data makes equal texts. */
const GLOBALS: Readonly<Record<string, unknown>> = {
  ...JINJA_GLOBALS,
  raise_exception: (message: unknown) => {
    throw new TemplateError(String(message));
  },
};

type Variables = Environment["variables"];

class WatchedVariables extends Map<string, ReturnType<Environment["lookupVariable"]>> {
  readonly #onMissing: (name: string) => void;

  constructor(variables: Variables, onMissing: (name: string) => void) {
    super(variables);
    this.#onMissing = onMissing;
  }

  override has(name: string): boolean {
    const found = super.has(name);
    if (!found) this.#onMissing(name);
    return found;
  }
}

function templateError(error: unknown): TemplateError {
  if (error instanceof TemplateError) return error;
  return new TemplateError(error instanceof Error ? error.message : String(error));
}
