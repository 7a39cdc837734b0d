import assert from "node:assert/strict";
import { examineHub } from "./hub_report.ts";

const ENVIRONMENT = { HOME: "/home/user", HF_TOKEN_PATH: "/none" };

Deno.test("examineHub() says where the token is from, and never what it is", () => {
  const report = examineHub({ ...ENVIRONMENT, HF_TOKEN: "hf_sEcReT", HF_HUB_OFFLINE: "1" });
  assert.deepEqual(report, {
    endpoint: "https://huggingface.co",
    token: "HF_TOKEN",
    cache: "/home/user/.cache/huggingface/hub",
    offline: "HF_HUB_OFFLINE is set",
    problem: null,
  });
  assert.equal(examineHub(ENVIRONMENT).token, null);
});

Deno.test("examineHub() reports variables that cannot be used", () => {
  const { problem } = examineHub({ ...ENVIRONMENT, HF_ENDPOINT: "mirror" });
  assert.match(problem ?? "", /^HF_ENDPOINT is "mirror"/);
});
