/**
 * Jinja templates of tasks, rendered as lm-evaluation-harness renders them: with Python's texts for
 * values, and a missing column as an error (`StrictUndefined`).
 *
 * @module
 */

import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { JINJA_GLOBALS } from "../../data/templates/jinja.ts";
import { text as pythonText } from "../python/literal.ts";
import { capitalize, leftStrip, length, rightStrip, strip, title } from "../python/text.ts";

type Value = ReturnType<Interpreter["run"]>;
type Node = NonNullable<Parameters<Interpreter["evaluate"]>[0]>;
type Program = ReturnType<typeof parse>;

/** A template cannot be rendered with what a document has. */
export class TemplateError extends Error {
  override readonly name: string = "TemplateError";
}

/** A template that is parsed once and rendered for many documents. */
export class Template {
  readonly #program: Program;

  /** @throws {TemplateError} If the text is not a Jinja template. */
  constructor(source: string) {
    try {
      // The library drops one newline at the end; the harness keeps it.
      this.#program = parse(tokenize(`${source}\n`));
    } catch (error) {
      throw new TemplateError((error as Error).message);
    }
    markOutputs(this.#program.body);
  }

  /** @throws {TemplateError} If a column is missing, or an operation is not possible. */
  render(document: Readonly<Record<string, unknown>>): string {
    const environment = new Environment();
    for (const [name, value] of Object.entries(JINJA_GLOBALS)) environment.set(name, value);
    for (const [name, value] of Object.entries(document)) {
      environment.setVariable(name, runtimeValue(value));
    }
    try {
      return String(new StrictInterpreter(environment).run(this.#program).value);
    } catch (error) {
      if (error instanceof TemplateError) throw error;
      throw new TemplateError((error as Error).message);
    }
  }
}

/** `{{ expression }}`, whose value becomes text. */
const OUTPUT = "Output";

interface OutputNode extends Node {
  readonly expression: Node;
}

/** Nodes that render themselves; everything else in a body is the expression of an output. */
const STATEMENTS = new Set([
  "Set",
  "If",
  "For",
  "Macro",
  "CallStatement",
  "FilterStatement",
  "Comment",
  "Break",
  "Continue",
  "StringLiteral",
]);

/** Bodies of statements hold their outputs as bare expressions; this wraps them. */
function markOutputs(body: Node[]): void {
  for (const [index, node] of body.entries()) {
    const { body: inner, alternate, defaultBlock } = node as {
      readonly body?: Node[];
      readonly alternate?: Node[];
      readonly defaultBlock?: Node[];
    };
    for (const part of [inner, alternate, defaultBlock]) if (Array.isArray(part)) markOutputs(part);
    if (!STATEMENTS.has(node.type)) {
      body[index] = { type: OUTPUT, expression: node } as OutputNode;
    }
  }
}

class StrictInterpreter extends Interpreter {
  /** Above 0 where a missing value is asked about, and no mistake. */
  #lenient = 0;

  override evaluate(node: Node | undefined, environment: Environment): Value {
    if (node === undefined) return super.evaluate(node, environment);
    switch (node.type) {
      case OUTPUT: {
        const value = this.evaluate((node as OutputNode).expression, environment);
        if (isMissing(value)) throw new TemplateError("a condition without else has no value");
        return runtimeValue(pythonText(plainValue(value)));
      }
      case "TestExpression":
        return this.#evaluateTest(node, environment);
      case "FilterExpression":
        return this.#evaluateFilter(node, environment);
      case "CallExpression":
        return this.#evaluateCall(node, environment);
      case "BinaryExpression":
        return this.#evaluateComparison(node, environment);
      case "Identifier":
      case "MemberExpression": {
        const value = super.evaluate(node, environment);
        if (this.#lenient === 0 && isMissing(value)) {
          throw new TemplateError(`there is no column ${JSON.stringify(nameOf(node))}`);
        }
        return value;
      }
      default:
        return super.evaluate(node, environment);
    }
  }

  #evaluateTest(node: Node, environment: Environment): Value {
    const { test } = node as Node & { test: { value: string } };
    const asks = test.value === "defined" || test.value === "undefined";
    return asks ? this.#leniently(node, environment) : super.evaluate(node, environment);
  }

  #evaluateFilter(node: Node, environment: Environment): Value {
    const { operand, filter } = node as Node & { operand: Node; filter: Node };
    const callee = filter.type === "CallExpression" ? (filter as CallNode).callee : filter;
    const name = (callee as Node & { value: string }).value;
    if (name === "default" || name === "d") return this.#leniently(node, environment);
    const own = FILTERS.get(name);
    if (own === undefined || filter.type === "CallExpression") {
      return super.evaluate(node, environment);
    }
    return runtimeValue(own(plainValue(this.evaluate(operand, environment))));
  }

  #leniently(node: Node, environment: Environment): Value {
    this.#lenient++;
    try {
      return super.evaluate(node, environment);
    } finally {
      this.#lenient--;
    }
  }

  /** Methods of texts and lists as Python has them. */
  #evaluateCall(node: Node, environment: Environment): Value {
    const { callee, args } = node as CallNode;
    const { object, property, computed } = callee as Node & {
      object: Node;
      property: Node & { value: string };
      computed: boolean;
    };
    if (callee.type !== "MemberExpression" || computed) return super.evaluate(node, environment);
    const method = METHODS.get(property.value);
    if (method === undefined) return super.evaluate(node, environment);
    const self = plainValue(this.evaluate(object, environment));
    const given = args.map((argument) => plainValue(this.evaluate(argument, environment)));
    const result = method(self, given);
    return result === undefined ? super.evaluate(node, environment) : runtimeValue(result);
  }

  /** `==` without the conversions of JavaScript: 1 is not "1", and lists are equal by their items. */
  #evaluateComparison(node: Node, environment: Environment): Value {
    const { operator, left, right } = node as Node & {
      operator: { value: string };
      left: Node;
      right: Node;
    };
    if (operator.value !== "==" && operator.value !== "!=") {
      return super.evaluate(node, environment);
    }
    const isEqual = pythonEqual(
      plainValue(this.evaluate(left, environment)),
      plainValue(this.evaluate(right, environment)),
    );
    return runtimeValue(isEqual === (operator.value === "=="));
  }
}

interface CallNode extends Node {
  readonly callee: Node;
  readonly args: readonly Node[];
}

/** Filters without arguments whose Python meaning differs. */
const FILTERS = new Map<string, (value: unknown) => unknown>([
  ["string", pythonText],
  ["trim", (value) => strip(pythonText(value))],
  ["length", sizeOf],
  ["count", sizeOf],
]);

function sizeOf(value: unknown): number {
  if (typeof value === "string") return length(value);
  return Array.isArray(value) ? value.length : Object.keys(value as object).length;
}

/** Undefined: this is not a method of that kind of value. */
type Method = (self: unknown, args: readonly unknown[]) => unknown;

const METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  ["strip", onText((self, characters) => strip(self, characters))],
  ["lstrip", onText((self, characters) => leftStrip(self, characters))],
  ["rstrip", onText((self, characters) => rightStrip(self, characters))],
  ["capitalize", onText((self) => capitalize(self))],
  ["title", onText((self) => title(self))],
  ["index", (self, [item]) => {
    const index = Array.isArray(self)
      ? self.findIndex((part) => pythonEqual(part, item))
      : codePointIndex(self, item);
    if (index < 0) throw new TemplateError(`${pythonText(item)} is not in ${pythonText(self)}`);
    return index;
  }],
  ["find", (self, [item]) => typeof self === "string" ? codePointIndex(self, item) : undefined],
  ["count", (self, [item]) => {
    if (typeof self === "string") return self.split(String(item)).length - 1;
    return Array.isArray(self) ? self.filter((part) => pythonEqual(part, item)).length : undefined;
  }],
  ["join", (self, [items]) => {
    if (typeof self !== "string") return undefined;
    return (Array.isArray(items) ? items : [...String(items)]).join(self);
  }],
]);

function onText(method: (self: string, argument?: string) => string): Method {
  return (self, [argument]) =>
    typeof self === "string"
      ? method(self, typeof argument === "string" ? argument : undefined)
      : undefined;
}

function codePointIndex(self: unknown, item: unknown): number {
  const text = String(self);
  const at = text.indexOf(String(item));
  return at < 0 ? at : length(text.slice(0, at));
}

/** Python's `==` of values of JSON. */
export function pythonEqual(left: unknown, right: unknown): boolean {
  if (isNumber(left) && isNumber(right)) return Number(left) === Number(right);
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) {
    return left === right;
  }
  if (Array.isArray(left) !== Array.isArray(right)) return false;
  const keys = Object.keys(left);
  return keys.length === Object.keys(right).length &&
    keys.every((key) =>
      Object.hasOwn(right, key) &&
      pythonEqual((left as Record<string, unknown>)[key], (right as Record<string, unknown>)[key])
    );
}

/** Booleans are numbers in Python. */
function isNumber(value: unknown): boolean {
  return typeof value === "number" || typeof value === "boolean" || typeof value === "bigint";
}

function isMissing(value: Value): boolean {
  return value.type === "UndefinedValue";
}

function nameOf(node: Node): string {
  if (node.type === "Identifier") return (node as Node & { value: string }).value;
  const { object, property } = node as Node & { object: Node; property: Node };
  const name = property.type === "Identifier" || property.type.endsWith("Literal")
    ? String((property as Node & { value: unknown }).value)
    : "…";
  return object.type === "Identifier" || object.type === "MemberExpression"
    ? `${nameOf(object)}.${name}`
    : name;
}

const converter = new Environment();

/** The library makes its values only when it declares a variable. */
function runtimeValue(value: unknown): Value {
  converter.variables.delete("value");
  return converter.set("value", typeof value === "bigint" ? Number(value) : value);
}

function plainValue(value: Value): unknown {
  switch (value.type) {
    case "ArrayValue":
    case "TupleValue":
      return (value.value as Value[]).map(plainValue);
    case "ObjectValue":
      return Object.fromEntries(
        Array.from(value.value as Map<string, Value>, ([key, part]) => [key, plainValue(part)]),
      );
    case "UndefinedValue":
      return undefined;
    default:
      return value.value;
  }
}
