import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { DAWN_FOLDER, DAWN_VERSION, hasDawn, loadDawn } from "./dawn.ts";

const PROGRAM = fileURLToPath(new URL("./dawn_conformance.ts", import.meta.url));

/**
 * One operation of each kind of kernel: Dawn compiles slowly on a software driver, and its kernels
 * are those that the built-in WebGPU is tested with.
 */
const OPERATIONS = ["fill, copy and add", "linear integer4", "columnSum", "gradientNorm", "rope"];

const installed = hasDawn();
if (!installed) {
  console.error("Dawn is not installed (`deno task setup --dawn`): its test is skipped");
}

Deno.test({
  name: `dawn: conformance${installed ? "" : " (skipped: Dawn is not installed)"}`,
  ignore: !installed,
  async fn() {
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "--allow-read",
        "--allow-env",
        `--allow-ffi=${DAWN_FOLDER}`,
        PROGRAM,
        ...OPERATIONS,
      ],
      stdin: "null",
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    const [info, ...results] = new TextDecoder().decode(stdout).trim().split("\n")
      .map((line) => JSON.parse(line));
    assert.equal(info.name, "webgpu");
    assert.ok(info.class.endsWith(`dawn ${DAWN_VERSION}`), info.class);
    assert.deepEqual(results.map(({ operation }) => operation), OPERATIONS);
    for (const { operation, ratio } of results) assert.ok(ratio <= 1, operation);
  },
});

Deno.test("without the package, the error names the line that installs it", async () => {
  const folder = await Deno.makeTempDir();
  try {
    assert.equal(hasDawn(folder), false);
    await assert.rejects(loadDawn(folder), {
      name: "DeviceError",
      message: /needs the npm package webgpu .*not installed: run `deno task setup --dawn`$/,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a package that does not load, or in another version, is no success", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const module = join(folder, "node_modules", "webgpu");
    await Deno.mkdir(module, { recursive: true });
    const describe = (version: string) =>
      Deno.writeTextFile(join(module, "package.json"), JSON.stringify({ version, type: "module" }));
    await describe("0.0.1");
    assert.equal(hasDawn(folder), false);
    await describe(DAWN_VERSION);
    await Deno.writeTextFile(join(module, "index.js"), "throw new Error('no such library');");
    await assert.rejects(loadDawn(folder), {
      name: "DeviceError",
      message: /does not load \(no such library\).*--allow-ffi.*`deno task setup --dawn`$/,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
