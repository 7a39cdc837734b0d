import assert from "node:assert/strict";
import { readPeftAdapter } from "../formats/peft.ts";
import { type HostAdapter, readAdapter, writeAdapter } from "./adapter.ts";

function adapter(form: string): HostAdapter {
  const pooled = form !== "lora";
  return {
    description: {
      form,
      pooling: "average",
      base: "0123",
      peft: pooled ? null : { r: 2, lora_alpha: 3, target_modules: ["q_proj"] },
    },
    modules: new Map([["model.layers.0.self_attn.q_proj", {
      shape: {
        pool: pooled ? 2 : 1,
        repeat: 1,
        rank: 2,
        scale: 1.5,
        a: pooled ? [2, 2] as const : [2, 4] as const,
        b: [3, 2] as const,
      },
      a: Float32Array.from({ length: pooled ? 4 : 8 }, (_, index) => index / 7),
      b: Float32Array.of(1, -2, 3, -4, 5, -6),
    }]]),
  };
}

for (const form of ["lora", "qa-lora"]) {
  Deno.test(`writeAdapter() and readAdapter() round-trip the form ${form}`, async () => {
    const folder = await Deno.makeTempDir();
    await writeAdapter(folder, adapter(form));
    const found = readAdapter(folder);
    assert.deepEqual(found.description, adapter(form).description);
    assert.deepEqual([...found.modules], [...adapter(form).modules]);
    await Deno.remove(folder, { recursive: true });
  });
}

Deno.test("writeAdapter() writes LoRA as PEFT reads it, and pooled forms as PEFT refuses them", async () => {
  const folder = await Deno.makeTempDir();
  await writeAdapter(folder, adapter("lora"));
  const module = readPeftAdapter(folder).modules.get("model.layers.0.self_attn.q_proj");
  assert.equal(module?.scale, 1.5);
  assert.deepEqual(module?.b, Float32Array.of(1, -2, 3, -4, 5, -6));
  await Deno.remove(folder, { recursive: true });
  await Deno.mkdir(folder);
  await writeAdapter(folder, adapter("qa-lora"));
  assert.throws(() => readPeftAdapter(folder), /adapter_config.json/);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("readAdapter() refuses a shape that the tensors do not have", async () => {
  const folder = await Deno.makeTempDir();
  await writeAdapter(folder, adapter("qa-lora"));
  const file = `${folder}/adapter.json`;
  const text = await Deno.readTextFile(file);
  await Deno.writeTextFile(file, text.replace(/"b": \[\s*3,/, '"b": [ 5,'));
  assert.throws(
    () => readAdapter(folder),
    /lora_B.weight" is \[3,2\], but .* wants \[5,2\]/,
  );
  await Deno.remove(folder, { recursive: true });
});
