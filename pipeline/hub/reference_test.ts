import assert from "node:assert/strict";
import { UserError } from "../errors.ts";
import { parseHubReference, withRevision } from "./reference.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";

for (
  const [text, type, name, revision, path] of [
    ["hf:org/name", "model", "org/name", "main", ""],
    ["hf:gpt2", "model", "gpt2", "main", ""],
    ["hf:gpt2@v1/config.json", "model", "gpt2", "v1", "config.json"],
    ["hf:org/na.me_1-b@v1.0", "model", "org/na.me_1-b", "v1.0", ""],
    ["hf:org/name/", "model", "org/name", "main", ""],
    ["hf:org/name/sub/config.json", "model", "org/name", "main", "sub/config.json"],
    ["hf:org/name@main/*.json", "model", "org/name", "main", "*.json"],
    [`hf:org/name@${COMMIT}`, "model", "org/name", COMMIT, ""],
    ["hf:org/name@refs/pr/12", "model", "org/name", "refs/pr/12", ""],
    ["hf:org/name@my%2Fbranch/x", "model", "org/name", "my/branch", "x"],
    ["hf:datasets/org/name@v1/en/**/*.jsonl.gz", "dataset", "org/name", "v1", "en/**/*.jsonl.gz"],
    [
      "hf:datasets/org/n@refs/convert/parquet/a/b",
      "dataset",
      "org/n",
      "refs/convert/parquet",
      "a/b",
    ],
    ["hf:datasets/wikitext@main", "dataset", "wikitext", "main", ""],
    ["hf:org/name@main/mail@home.txt", "model", "org/name", "main", "mail@home.txt"],
  ] as const
) {
  Deno.test(`parseHubReference("${text}")`, () => {
    const reference = parseHubReference(text);
    assert.deepEqual(reference, { text, type, name, revision, path });
    // What is written from the parts is read as the same parts.
    const pinned = withRevision(reference, revision);
    assert.deepEqual(parseHubReference(pinned.text), { ...reference, text: pinned.text });
    assert.equal(parseHubReference(withRevision(reference, COMMIT).text).revision, COMMIT);
  });
}

for (
  const [text, message] of [
    ["hf:", /"" is no name of a repository; wanted hf:org\/name\[@revision\]\[\/path\]/],
    ["hf:datasets/", /"" is no name/],
    ["hf:../name", /"\.\.\/name" is no name/],
    ["hf:org/..", /is no name/],
    ["hf:org/a--b", /is no name/],
    ["hf:org/a b", /is no name/],
    ["hf://org/name", /"\/" is no name/],
    ["hf:org/name.", /is no name/],
    ["hf:org/name@", /"" is no branch, tag or commit/],
    ["hf:org/name@..%2F..%2Fetc", /is no branch/],
    ["hf:org/name@a..b", /is no branch/],
    ["hf:org/name@a\\b", /is no branch/],
    ["hf:org/name@-f", /is no branch/],
    ["hf:org/name/x@v1", /the revision belongs behind the name/],
    ["hf:org/name/../other", /the path "\.\.\/other" has an empty part/],
    ["hf:org/name@main//etc/passwd", /the path "\/etc\/passwd" is absolute/],
    ["hf:org/name/C:/x", /drive letter/],
    ["hf:org/name/a\\b", /backslash/],
    ["hf:org/name/a\0b", /control character/],
    ["org/name", /no reference to the Hugging Face Hub/],
  ] as const
) {
  Deno.test(`parseHubReference() refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseHubReference(text), (error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      return true;
    });
  });
}
