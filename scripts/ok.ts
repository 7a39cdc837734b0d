/**
 * `deno task ok`: everything that must hold before a commit.
 *
 * @module
 */

const HELP =
  `Runs what must hold before a commit: format, lint, types, documentation, tests (which check the
import rules, too). All steps run, whatever fails; the summary comes last.

Usage: deno task ok

Exit status: 0 if every step passed.`;

/** Modules whose every exported symbol must be documented. */
const PUBLIC_MODULES = ["mod.ts"];

interface Step {
  readonly name: string;
  readonly args: readonly string[];
}

const STEPS: readonly Step[] = [
  { name: "format", args: ["fmt", "--check"] },
  { name: "lint", args: ["lint"] },
  { name: "types", args: ["check", "--quiet", "--doc", "."] },
  { name: "documentation", args: ["doc", "--quiet", "--lint", ...PUBLIC_MODULES] },
  // Types have been checked by then, examples included.
  { name: "tests", args: ["task", "--quiet", "test", "--no-check"] },
];

if (Deno.args.length > 0) {
  const help = Deno.args.length === 1 && /^(--help|-h)$/.test(Deno.args[0] ?? "");
  console[help ? "log" : "error"](HELP);
  Deno.exit(help ? 0 : 2);
}
const outcomes: string[] = [];
for (const { name, args } of STEPS) {
  console.log(`--- ${name}: deno ${args.join(" ")}`);
  const start = performance.now();
  const { success } = await new Deno.Command(Deno.execPath(), { args: [...args] }).spawn().status;
  if (!success) Deno.exitCode = 1;
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  outcomes.push(`${success ? "ok    " : "FAILED"}  ${name.padEnd(14)} ${seconds.padStart(6)} s`);
}
console.log(`\n${outcomes.join("\n")}`);
