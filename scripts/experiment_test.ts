import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command as its task does, in a folder with these files. */
async function runScript(
  name: string,
  args: readonly string[],
  files: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [path, text] of Object.entries(files)) {
      await Deno.writeTextFile(join(folder, path), text);
    }
    const { code, stdout, stderr } = await new Deno.Command("deno", {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "--allow-read",
        "--allow-write",
        "--allow-env",
        "--allow-sys",
        "--allow-run=deno,git",
        fileURLToPath(new URL(`${name}.ts`, import.meta.url)),
        ...args,
      ],
      cwd: folder,
      env: { INIT_CWD: folder, NO_COLOR: "1" },
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** An experiment whose only stage cannot succeed: there is no model in the folder. */
const FAILING = {
  "failing.yaml":
    `graph: { base: { stage: quantize, model: ., quantizer: { method: rtn, bits: 4, group_size: 32 } } }\n`,
};

Deno.test("--help shows the options of each command", async () => {
  for (
    const [name, option] of [
      ["experiment", "--fail-fast"],
      ["plan", "--set"],
      ["table", "--check"],
      ["compare", "--format"],
      ["serve", "--port"],
    ]
  ) {
    const { code, stdout, stderr } = await runScript(name ?? "", ["--help"]);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^Usage: deno task ${name} `));
    assert.ok(stdout.includes(option ?? ""));
    assert.equal(stderr, "");
  }
});

for (
  const [args, message] of [
    [["x.yaml", "--fail-fats"], /unknown option '--fail-fats'\n\(Did you mean --fail-fast\?\)/],
    [["x.yaml", "--jobs", "0"], /--jobs.*whole number of at least 1, found "0"/],
    [["x.yaml", "--set", "rank"], /--set.*path=value, found "rank"/],
    [
      ["x.yaml", "--device", "tpu"],
      /--device.*Allowed choices are auto, webgpu, webgpu:dawn, cpu, reference/,
    ],
    [["x.yaml", "--executor", "slurm"], /--executor.*Allowed choices are local/],
    [[], /missing required argument 'file'/],
    [["x.yaml"], /^There is no file "x\.yaml" here or in experiments\//],
  ] as const
) {
  Deno.test(`experiment ${args.join(" ")} ends with status 2 and says what is allowed`, async () => {
    const { code, stdout, stderr } = await runScript("experiment", args);
    assert.equal(code, 2);
    assert.match(stderr, message);
    assert.ok(!stderr.includes("    at "), "no stack trace");
    assert.equal(stdout, "");
  });
}

Deno.test("mistakes in a file are shown with positions and end with status 2", async () => {
  const files = { "wrong.yaml": "graph:\n  base: { stage: quantise }\n" };
  for (const name of ["experiment", "plan"]) {
    const { code, stderr } = await runScript(name, ["wrong.yaml"], files);
    assert.equal(code, 2);
    assert.match(stderr, /^wrong\.yaml:2:\d+: .*quantise/);
    assert.ok(!stderr.includes("    at "), "no stack trace");
  }
});

Deno.test("a run with a failing cell ends with status 1; --json prints the results alone", async () => {
  const { code, stdout, stderr } = await runScript(
    "experiment",
    ["failing.yaml", "--device", "reference", "--json"],
    FAILING,
  );
  assert.equal(code, 1, stderr);
  const results = JSON.parse(stdout);
  assert.equal(results.format, "equipoise/results");
  assert.equal(results.status, "failed");
  assert.match(results.cells[0].error, /^base: .*config\.json/);
  assert.match(stderr, /✗ base: .*config\.json/);
  assert.match(stderr, /0 of 1 cell done, 1 failed in .*runs\/failing\/results\.json/);
});

Deno.test("plan --json prints the decisions", async () => {
  const { code, stdout } = await runScript(
    "plan",
    ["failing.yaml", "--device", "reference", "--json"],
    FAILING,
  );
  assert.equal(code, 0);
  const { name, stages } = JSON.parse(stdout);
  assert.equal(name, "failing");
  assert.deepEqual(stages[0].decision, { action: "runs", reason: "not in the store" });
});
