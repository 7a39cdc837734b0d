import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { type Environment, hubCache, type HubSettings, hubSettings } from "./settings.ts";

const settings = (environment: Environment, mayConnect = true): HubSettings =>
  hubSettings({ HOME: "/home/user", HF_TOKEN_PATH: "/none", ...environment }, () => mayConnect);

for (
  const [environment, cache] of [
    [{}, "/home/user/.cache/huggingface/hub"],
    [{ XDG_CACHE_HOME: "/xdg" }, "/xdg/huggingface/hub"],
    [{ XDG_CACHE_HOME: "/xdg", HF_HOME: "/hf" }, "/hf/hub"],
    [{ HF_HOME: "/hf", HUGGINGFACE_HUB_CACHE: "/old" }, "/old"],
    [{ HF_HOME: "/hf", HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "/new" }, "/new"],
    [{ HF_HOME: "~/hf" }, "/home/user/hf/hub"],
    [{ HF_HUB_CACHE: "$SCRATCH/${USER}/hub", SCRATCH: "/scratch", USER: "me" }, "/scratch/me/hub"],
    [{ HF_HUB_CACHE: "" }, "/home/user/.cache/huggingface/hub"],
  ] as const
) {
  Deno.test(`hubCache(${JSON.stringify(environment)})`, () => {
    assert.equal(hubCache({ HOME: "/home/user", ...environment }), cache);
  });
}

Deno.test("the endpoint is huggingface.co unless HF_ENDPOINT says otherwise", () => {
  assert.equal(settings({}).endpoint, "https://huggingface.co");
  assert.equal(
    settings({ HF_ENDPOINT: "http://mirror:8080/hf//" }).endpoint,
    "http://mirror:8080/hf",
  );
});

for (const value of ["1", "ON", "yes", "True"]) {
  Deno.test(`offline where HF_HUB_OFFLINE is ${value}`, () => {
    assert.equal(settings({ HF_HUB_OFFLINE: value }).offline, "HF_HUB_OFFLINE is set");
    assert.equal(settings({ TRANSFORMERS_OFFLINE: value }).offline, "TRANSFORMERS_OFFLINE is set");
  });
}

Deno.test("online otherwise, except without the permission", () => {
  for (const value of ["", "0", "off", "false"]) {
    assert.equal(settings({ HF_HUB_OFFLINE: value }).offline, null);
  }
  assert.match(settings({}, false).offline ?? "", /--allow-net/);
});

Deno.test("the token is that of HF_TOKEN, of its old name, of the file; or none", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(folder, "token"), "hf_file\n");
    const token = (environment: Environment) => {
      const found = hubSettings({ HF_HOME: folder, ...environment }, () => true).token;
      return found === null ? null : [found.authorization, found.source];
    };
    assert.deepEqual(token({ HF_TOKEN: " hf_new\n", HUGGING_FACE_HUB_TOKEN: "hf_old" }), [
      "Bearer hf_new",
      "HF_TOKEN",
    ]);
    assert.deepEqual(token({ HF_TOKEN: "", HUGGING_FACE_HUB_TOKEN: "hf_old" }), [
      "Bearer hf_old",
      "HUGGING_FACE_HUB_TOKEN",
    ]);
    assert.deepEqual(token({}), ["Bearer hf_file", join(folder, "token")]);
    assert.equal(token({ HF_TOKEN_PATH: join(folder, "none") }), null);
    assert.equal(token({ HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }), null);
    await Deno.writeTextFile(join(folder, "token"), "\n");
    assert.equal(token({}), null);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("timeouts are seconds", () => {
  const { metadataTimeout, downloadTimeout } = settings({ HF_HUB_DOWNLOAD_TIMEOUT: "30" });
  assert.deepEqual([metadataTimeout, downloadTimeout], [10_000, 30_000]);
});

for (
  const [environment, message] of [
    [{ HF_ENDPOINT: "mirror" }, /^HF_ENDPOINT is "mirror": wanted an address/],
    [{ HF_ENDPOINT: "file:///x" }, /^HF_ENDPOINT is "file:\/\/\/x"/],
    [{ HF_ENDPOINT: "https://me:sEcReT@mirror" }, /^HF_ENDPOINT \(mirror\) holds a user name/],
    [{ HF_HUB_ETAG_TIMEOUT: "soon" }, /^HF_HUB_ETAG_TIMEOUT is "soon": wanted seconds/],
    [{ HF_HUB_DOWNLOAD_TIMEOUT: "0" }, /wanted seconds, a number above 0/],
    [{ HF_TOKEN: "hf_sEcReT\r\nX: y" }, /^The token of HF_TOKEN holds spaces/],
    [{ HF_TOKEN: "hf_sEcReT\u2026" }, /^The token of HF_TOKEN holds/],
  ] as const
) {
  Deno.test(`hubSettings() refuses ${JSON.stringify(environment)}`, () => {
    assert.throws(() => settings(environment), (error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /sEcReT/);
      return true;
    });
  });
}
