/**
 * Machines that cannot do what is asked: a full disk, a folder that is a file, no adapter, tensors larger
 * than the device allows. Each with one clear message, exit status 1, and nothing half-written.
 */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { assertForPeople, assertOneMessage, runCommand } from "./support/command.ts";
import { resultsIn, unfinishedIn } from "./support/store.ts";
import { inFolder, QUANTIZE, writeTinyModel } from "./support/tiny_model.ts";

/** Whether a script of `sh` succeeds. */
function succeeds(script: string): boolean {
  const { success } = new Deno.Command("sh", {
    args: ["-c", script],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).outputSync();
  return success;
}

/** Ignores a test, with the reason, where `script` does not succeed. */
function onlyWhere(
  script: string,
  name: string,
): { readonly name: string; readonly ignore: boolean } {
  const ignore = Deno.build.os !== "linux" || !succeeds(script);
  if (ignore) console.error(`Skipped: ${name} (needs a Linux where \`${script}\` succeeds)`);
  return { name, ignore };
}

/** Writes an experiment that copies a model of 460 kB. */
async function writeLargeExperiment(folder: string): Promise<void> {
  await writeTinyModel(join(folder, "large"), {
    config: { hidden_size: 128, intermediate_size: 128 },
  });
  await Deno.writeTextFile(
    join(folder, "full.yaml"),
    "name: full\ngraph:\n  base: { stage: quantize, model: large, quantizer: { method: none } }\n",
  );
}

const DISK_FULL =
  /^✗ base: The disk is full: "base" could not be written to .*store \(.*\); free some space there, or set --out or EQUIPOISE_STORE to another disk$/;

Deno.test({
  ...onlyWhere("ulimit -f 256", "a file that may not grow (RLIMIT_FSIZE)"),
  fn: () =>
    inFolder(async (folder) => {
      await writeLargeExperiment(folder);
      const out = join(folder, "runs");
      // Blocks of 512 bytes (in some shells 1024); the signal would end the process before it can speak.
      const shell = 'ulimit -f 256; trap "" XFSZ; exec "$@"';
      const limited = await runCommand("experiment", ["full.yaml"], { cwd: folder, shell });
      const [failed = ""] = limited.stderr.split("\n").filter((line) => line.startsWith("✗"));
      assertOneMessage(failed, DISK_FULL);
      assertForPeople(limited.stderr);
      assert.equal(limited.status, 1);
      assert.deepEqual([...await unfinishedIn(out), ...await resultsIn(out)], []);

      const unlimited = await runCommand("experiment", ["full.yaml"], { cwd: folder });
      assert.deepEqual([unlimited.status, [...(await resultsIn(out)).keys()]], [0, ["base"]]);
    }),
});

Deno.test({
  ...onlyWhere("unshare -rm mount -t tmpfs none /mnt", "a file system that is full (ENOSPC)"),
  fn: () =>
    inFolder(async (folder) => {
      await writeLargeExperiment(folder);
      await Deno.mkdir(join(folder, "runs"));
      // The file system of 400 kB is seen by these two runs only; before the second it grows.
      const inside = `mount -t tmpfs -o size=400k none runs && "$@"; echo status $?
        find runs/.store -type f -not -name "index.sqlite*"
        mount -o remount,size=8m runs && exec "$@"`;
      const { status, stdout, stderr } = await runCommand("experiment", ["full.yaml"], {
        cwd: folder,
        shell: `exec unshare -rm sh -c '${inside}' sh "$@"`,
      });
      assert.match(stdout, /^status 1$/m);
      assert.doesNotMatch(stdout, /^runs\/\.store/m);
      const [failed = "", ...more] = stderr.split("\n").filter((line) => line.startsWith("✗"));
      assertOneMessage(failed, DISK_FULL);
      assertForPeople(stderr);
      assert.deepEqual([status, more], [0, []]);
      assert.match(stderr, /^✓ base: done/m);
    }),
});

Deno.test("a folder of results that is a file", () =>
  inFolder(async (folder) => {
    await writeLargeExperiment(folder);
    const { status, stderr } = await runCommand(
      "experiment",
      ["full.yaml", "--out", "full.yaml"],
      { cwd: folder },
    );
    assertOneMessage(
      stderr,
      /^The store .*full\.yaml\/\.store cannot be used \(.*\): .* set --out or /,
    );
    assert.equal(status, 1);
  }));

const NEEDS_DEVICE = `name: device
graph:
  base: ${QUANTIZE}
  quality: { stage: evaluate, from: base,
    tasks: [ { task: perplexity, data: { text: text.txt }, window: 16 } ] }
`;

for (
  const env of [
    { VK_DRIVER_FILES: "/nonexistent", VK_ICD_FILENAMES: "/nonexistent" },
    { DENO_WEBGPU_BACKEND: "nonsense" },
  ]
) {
  Deno.test({
    name: `no adapter (${Object.keys(env)[0]}): the message says what to run`,
    ignore: Deno.build.os !== "linux",
    fn: () =>
      inFolder(async (folder) => {
        await Deno.writeTextFile(join(folder, "device.yaml"), NEEDS_DEVICE);
        // Without the permission to start Deno, which would set the machine up.
        const { status, stderr } = await runCommand("experiment", [
          "device.yaml",
          "--device",
          "webgpu",
        ], {
          cwd: folder,
          env,
          programs: ["git"],
        });
        assertOneMessage(
          stderr,
          /^No WebGPU adapter was found: run `deno task setup --webgpu`, which /,
        );
        assert.equal(status, 1);
        const out = join(folder, "runs");
        assert(!existsSync(join(out, "device")));
        assert.deepEqual([...await unfinishedIn(out), ...await resultsIn(out)], []);
      }),
  });
}

Deno.test({
  ...onlyWhere("unshare -U true", "no adapter, and nobody may install one"),
  fn: () =>
    inFolder(async (folder) => {
      await Deno.writeTextFile(join(folder, "device.yaml"), NEEDS_DEVICE);
      // As a user whom the system does not know: neither root nor sudo.
      const { status, stderr } = await runCommand("experiment", [
        "device.yaml",
        "--device",
        "webgpu",
      ], {
        cwd: folder,
        env: { VK_DRIVER_FILES: "/nonexistent", VK_ICD_FILENAMES: "/nonexistent" },
        shell: 'exec unshare -U "$@"',
      });
      const [line = "", message = "", ...more] = stderr.trimEnd().split("\n");
      assertOneMessage(line, /^WebGPU finds no adapter here: (run|install) /);
      assertOneMessage(message, /^No WebGPU adapter can be opened .*: follow the line above/);
      assert.deepEqual([status, more], [1, []]);
    }),
});

Deno.test({
  name: "without any driver, experiments run on the CPU and say so; nothing is installed",
  ignore: Deno.build.os !== "linux",
  fn: () =>
    inFolder(async (folder) => {
      await Deno.writeTextFile(join(folder, "device.yaml"), NEEDS_DEVICE);
      const { status, stderr } = await runCommand("experiment", ["device.yaml"], {
        cwd: folder,
        env: { VK_DRIVER_FILES: "/nonexistent", VK_ICD_FILENAMES: "/nonexistent" },
      });
      assert.equal(status, 0, stderr);
      assert.match(stderr, /^device: cpu \(WebAssembly SIMD, \d+ threads?\), because .*no GPU/m);
      assert.doesNotMatch(stderr, /install/i);
    }),
});

Deno.test("tensors larger than the device allows are named, with what to do", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(
      join(folder, "large.yaml"),
      `name: large
graph:
  base: ${QUANTIZE}
  adapter: { stage: initialize, from: base, form: qa-blora, rank: 4 }
  batch: { stage: train, from: adapter, data: { text: text.txt }, steps: 3, length: 16,
    batch_size: 1_000_000_000 }
  vocabulary: { stage: pretrain, data: { text: text.txt }, steps: 3, length: 16,
    tokenizer: { vocab_size: 200_000_000 },
    config: { hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1,
      num_attention_heads: 2 } }
`.replaceAll("_000", "000"),
    );
    const { status, stderr } = await runCommand(
      "experiment",
      ["large.yaml", "--device", "webgpu"],
      { cwd: folder },
    );
    assert.equal(status, 2);
    assertForPeople(stderr);
    for (
      const [node, advice] of [
        ["batch", "set batch\\.batch_size to \\d+"],
        ["vocabulary", "no setting makes it fit: .*"],
      ]
    ) {
      const own = stderr.split("\n").filter((line) => line.includes(`"${node}" cannot run: `));
      assertOneMessage(
        own.join("\n"),
        new RegExp(
          `: its tensor ".*" takes [\\d.]+ [GT]B, but .* allows [\\d.]+ GB; ${advice}$`,
        ),
      );
    }
    const out = join(folder, "runs");
    assert.deepEqual([...(await resultsIn(out)).keys()], []);
    assert.deepEqual(await unfinishedIn(out), []);
  }));
