// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { parseConfig } from "./config.ts";
import { ropeFrequencies, ropeTables } from "./rope.ts";

function config(changes: Record<string, unknown> = {}) {
  return parseConfig({
    hidden_size: 512,
    intermediate_size: 64,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    vocab_size: 8,
    rope_theta: 500000,
    max_position_embeddings: 131072,
    ...changes,
  }, "config.json");
}

const plain = ropeFrequencies(config());

function close(found: number, expected: number): void {
  assert.ok(Math.abs(found / expected - 1) < 1e-12, `${found} is not ${expected}`);
}

Deno.test("ropeFrequencies() are powers of theta", () => {
  assert.equal(plain.length, 64);
  plain.forEach((frequency, i) => close(frequency, 1 / 500000 ** (i / 64)));
});

Deno.test("ropeFrequencies() divides by the factor of linear scaling", () => {
  // Both the old key and the new one.
  for (
    const scaling of [
      { rope_scaling: { type: "linear", factor: 4 } },
      { rope_parameters: { rope_type: "linear", factor: 4, rope_theta: 500000 } },
    ]
  ) {
    ropeFrequencies(config(scaling)).forEach((frequency, i) => close(frequency, plain[i]! / 4));
  }
});

Deno.test("ropeFrequencies() scales Llama 3.1 by wavelength", () => {
  const found = ropeFrequencies(config({
    rope_scaling: {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    },
  }));
  let blended = 0;
  found.forEach((frequency, i) => {
    // As the model card words it, in wavelengths.
    const wavelength = 2 * Math.PI / plain[i]!;
    if (wavelength < 8192 / 4) return close(frequency, plain[i]!);
    if (wavelength > 8192 / 1) return close(frequency, plain[i]! / 8);
    const smooth = (8192 / wavelength - 1) / (4 - 1);
    close(frequency, (1 - smooth) * (plain[i]! / 8) + smooth * plain[i]!);
    blended++;
  });
  assert.ok(blended > 3, "some frequencies lie between");
});

Deno.test("ropeFrequencies() interpolates YaRN by parts", () => {
  const scaled = config({
    rope_scaling: { type: "yarn", factor: 16, original_max_position_embeddings: 8192 },
  });
  const found = ropeFrequencies(scaled);
  let blended = 0;
  found.forEach((frequency, i) => {
    const rotations = 8192 * plain[i]! / (2 * Math.PI);
    // The ramp is rounded outwards to whole dimensions, so only the clear cases are closed forms.
    if (rotations > 32 * 1.3) return close(frequency, plain[i]!);
    if (rotations < 1 / 1.3) return close(frequency, plain[i]! / 16);
    assert.ok(frequency <= plain[i]! && frequency >= plain[i]! / 16);
    blended++;
  });
  assert.ok(blended > 3, "some frequencies lie between");
  // Frequencies fall monotonically through the ramp.
  found.forEach((frequency, i) => assert.ok(i === 0 || frequency < found[i - 1]!));
  // Section 3.4: cosines and sines grow by 0.1 ln(factor) + 1.
  close(ropeTables(scaled, 1).cosines[0]!, 0.1 * Math.log(16) + 1);
});

Deno.test("ropeTables() rotate only part of a head with partial_rotary_factor", () => {
  const { cosines } = ropeTables(config({ partial_rotary_factor: 0.25 }), 3);
  assert.equal(cosines.length, 3 * 16);
  close(cosines[16]!, Math.cos(1));
});
