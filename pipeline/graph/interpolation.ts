/**
 * `${name}` and `${env:NAME}` inside text.
 *
 * @module
 */

import type { Located, LocatedMap, LocatedScalar } from "./located.ts";
import type { ProblemList } from "./problems.ts";
import { didYouMean } from "./suggestions.ts";

/** `$${` stands for a literal `${`; an unclosed `${` is matched to be reported. */
const REFERENCE = /\$\$\{|\$\{([^{}]*)(\}?)/g;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * Replaces references by values. Text that is exactly `${name}` becomes the variable's value with its
 * type and position; inside longer text the value must be a scalar. Variables may refer to each other.
 * A path that begins with `${name}` is relative to the file in which the variable is written.
 */
export class Interpolator {
  readonly #variables: LocatedMap | null;
  readonly #environment: (name: string) => string | undefined;
  readonly #problems: ProblemList;
  readonly #resolved = new Map<string, Located>();
  readonly #open: string[] = [];

  /**
   * References are resolved against these variables.
   *
   * @param environment Looks up an environment variable.
   */
  constructor(
    variables: LocatedMap | null,
    environment: (name: string) => string | undefined,
    problems: ProblemList,
  ) {
    this.#variables = variables;
    this.#environment = environment;
    this.#problems = problems;
  }

  /** A copy with every reference replaced; undefined ones are reported and marked `unresolved`. */
  apply(located: Located): Located {
    switch (located.kind) {
      case "scalar":
        return typeof located.value === "string" && located.value.includes("${")
          ? this.#text(located, located.value)
          : located;
      case "list":
        return { ...located, items: located.items.map((item) => this.apply(item)) };
      case "map":
        return {
          ...located,
          entries: new Map(
            [...located.entries].map(([key, entry]) => [
              key,
              { ...entry, value: this.apply(entry.value) },
            ]),
          ),
        };
    }
  }

  #text(scalar: LocatedScalar, text: string): Located {
    const matches = [...text.matchAll(REFERENCE)];
    const [first] = matches;
    if (first !== undefined && first[0] === text && first[0] !== "$${") {
      return this.#reference(scalar, text, first);
    }
    const environment: string[] = [];
    let { folder } = scalar.origin;
    let result = "";
    let end = 0;
    let unresolved = false;
    for (const match of matches) {
      result += text.slice(end, match.index);
      end = match.index + match[0].length;
      if (match[0] === "$${") {
        result += "${";
        continue;
      }
      const value = this.#reference(scalar, text, match);
      if (value.kind !== "scalar" || value.value === null) {
        this.#problems.add(
          scalar.origin,
          `${match[0]} stands inside longer text, so it must be text or a number: found ${
            value.kind === "scalar" ? "nothing" : `a ${value.kind}`
          }`,
        );
        unresolved = true;
        continue;
      }
      if (match.index === 0) folder = value.origin.folder;
      environment.push(...value.environment ?? []);
      unresolved ||= value.unresolved ?? false;
      result += String(value.value);
    }
    return {
      kind: "scalar",
      value: result + text.slice(end),
      origin: { ...scalar.origin, folder },
      ...(environment.length > 0 ? { environment } : {}),
      ...(unresolved ? { unresolved } : {}),
    };
  }

  #reference(scalar: LocatedScalar, text: string, match: RegExpExecArray): Located {
    const [whole, name = "", closing] = match;
    const environmentName = name.startsWith("env:") ? name.slice(4) : null;
    if (closing === "" || !VARIABLE.test(environmentName ?? name)) {
      return this.#unresolved(
        scalar,
        `${JSON.stringify(whole)} in ${JSON.stringify(text)} is not a reference: write \${name}, ` +
          "${env:NAME}, or $${ for the characters themselves",
      );
    }
    if (environmentName === null) return this.#variable(scalar, name);
    const value = this.#environment(environmentName);
    if (value === undefined) {
      return this.#unresolved(scalar, `The environment variable ${environmentName} is not set`);
    }
    return { ...scalar, value, environment: [environmentName] };
  }

  #variable(scalar: LocatedScalar, name: string): Located {
    const resolved = this.#resolved.get(name);
    if (resolved !== undefined) return resolved;
    const entry = this.#variables?.entries.get(name);
    if (entry === undefined) {
      const declared = [...this.#variables?.entries.keys() ?? []];
      return this.#unresolved(
        scalar,
        `The variable \${${name}} is not declared in vars${didYouMean(name, declared)}`,
      );
    }
    if (this.#open.includes(name)) {
      const cycle = [...this.#open.slice(this.#open.indexOf(name)), name].join(" -> ");
      return this.#unresolved(scalar, `A variable cannot stand for itself: ${cycle}`);
    }
    this.#open.push(name);
    const value = this.apply(entry.value);
    this.#open.pop();
    this.#resolved.set(name, value);
    return value;
  }

  #unresolved(scalar: LocatedScalar, message: string): LocatedScalar {
    this.#problems.add(scalar.origin, message);
    return { ...scalar, unresolved: true };
  }
}
