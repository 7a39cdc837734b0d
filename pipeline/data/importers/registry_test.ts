import assert from "node:assert/strict";
import { UserError } from "../../errors.ts";
import type { Row } from "../tables/row.ts";
import { BadRow, type Fields } from "./bad_row.ts";
import { oasst1 } from "./oasst1.ts";
import { importerFor, IMPORTERS } from "./registry.ts";
import type { Sample } from "./sample.ts";

/** Samples of a row, by the importer that its columns call for. */
function samples(fields: Fields): readonly Sample[] {
  return importerFor("auto", Object.keys(fields)).samples(fields);
}

function refuses(fields: Fields, message: RegExp): void {
  assert.throws(() => samples(fields), (error) => {
    assert.ok(error instanceof BadRow, String(error));
    assert.match(error.message, message);
    return true;
  });
}

const turn = (role: string, content: string) => ({ role, content });

Deno.test("importerFor() knows formats by their columns", () => {
  const columns: Record<string, string> = {
    messages: "messages",
    sharegpt: "id,conversations",
    oasst1: "message_id,parent_id,user_id,text,role,lang,rank",
    "prompt-completion": "prompt,completion",
    "llm-adapters": "instruction,input,output,answer",
    "self-instruct": "id,name,instruction,instances,is_classification",
    alpaca: "instruction,input,output,text",
    flan: "inputs,targets,task",
    text: "text,url",
  };
  assert.deepEqual(Object.keys(columns).sort(), IMPORTERS.map(({ name }) => name).sort());
  for (const [name, list] of Object.entries(columns)) {
    assert.equal(importerFor("auto", list.split(",")).name, name);
    assert.equal(importerFor(name, []).name, name);
  }
  assert.throws(
    () => importerFor("auto", ["question", "answer"]),
    (error) =>
      error instanceof UserError && /question, answer are those of no known/.test(error.message),
  );
});

Deno.test("importers of TRL's formats read texts, completions and conversations", () => {
  assert.deepEqual(samples({ text: "a" }), [{ kind: "text", text: "a" }]);
  assert.deepEqual(samples({ prompt: "a", completion: "b" }), [
    { kind: "completion", prompt: "a", completion: "b" },
  ]);
  const [user, assistant] = [turn("user", "a"), turn("assistant", "b")];
  const messages = { messages: [user, assistant], tools: [1] };
  assert.deepEqual(samples(messages), [
    { kind: "conversation", messages: [user, assistant], context: 0, extra: messages },
  ]);
  const split = { prompt: [user, assistant, user], completion: [assistant] };
  assert.deepEqual(samples(split), [{
    kind: "conversation",
    messages: [user, assistant, user, assistant],
    context: 3,
    extra: split,
  }]);
  refuses({ text: null }, /"text" is null; wanted a text/);
  refuses({ prompt: "a", completion: [assistant] }, /"completion" is \[.*; wanted a text/);
  refuses({ messages: "a" }, /"messages" is "a"; wanted a list/);
  refuses({ messages: [user, "b"] }, /entry 2 of "messages" is "b"; wanted an object/);
  refuses({ messages: [{ content: "a" }] }, /no field "role", only content/);
  refuses({ messages: [] }, /"messages" is empty/);
});

Deno.test("importers of instructions read Alpaca, LLM-Adapters, Self-Instruct and Flan", () => {
  const sample = { kind: "instruction", instruction: "i", input: "", output: "o" };
  assert.deepEqual(samples({ instruction: "i", output: "o" }), [sample]);
  assert.deepEqual(samples({ instruction: "i", input: null, output: "o" }), [sample]);
  assert.deepEqual(samples({ instruction: "i", input: "x", output: "o", answer: "3" }), [
    { ...sample, input: "x" },
  ]);
  const instances = [{ input: "", output: "o" }, { input: "x", output: "p" }];
  assert.deepEqual(samples({ instruction: "i", instances }), [
    sample,
    { ...sample, input: "x", output: "p" },
  ]);
  assert.deepEqual(samples({ inputs: "a", targets: "b" }), [
    { kind: "completion", prompt: "a", completion: "b" },
  ]);
  refuses({ instruction: "i", instances: [] }, /"instances" is empty/);
  refuses({ instruction: 3, output: "" }, /"instruction" is 3/);
});

Deno.test("the importer of ShareGPT names roles as chat templates do", () => {
  const conversations = [
    { from: "system", value: "s" },
    { from: "human", value: "h" },
    { from: "gpt", value: "g" },
  ];
  const [sample] = samples({ conversations });
  assert.ok(sample?.kind === "conversation");
  assert.deepEqual(sample.messages, [
    turn("system", "s"),
    turn("user", "h"),
    turn("assistant", "g"),
  ]);
  refuses({ conversations: [{ from: "gpt", value: null }] }, /"value" is null/);
});

/** `parent/id role rank`; the text is the id. */
async function gather(messages: readonly string[]): Promise<[string[], string[]]> {
  const rows = messages.map((message, index): Row => {
    const [path = "", role, rank, deleted] = message.split(" ");
    const [parent, id] = path.split("/");
    return {
      place: `line ${index + 1}`,
      fields: {
        message_id: id,
        parent_id: parent === "" ? null : parent,
        role: role === "p" ? "prompter" : role === "a" ? "assistant" : role,
        text: id,
        rank: rank === undefined || rank === "" ? null : Number(rank),
        deleted: deleted === "deleted",
      },
    };
  });
  const faults: string[] = [];
  const source = (async function* () {
    yield* rows;
  })();
  const gathered = await Array.fromAsync(
    oasst1.gather?.(source, (place, message) => faults.push(`${place}: ${message}`)) ?? [],
  );
  return [
    gathered.map(({ fields, place }) => {
      const [sample] = oasst1.samples(fields);
      assert.ok(sample?.kind === "conversation");
      return `${place}: ${sample.messages.map(({ role, content }) => `${role} ${content}`).join()}`;
    }),
    faults,
  ];
}

Deno.test("the importer of OASST1 follows the best reply at every level", async () => {
  const [paths, faults] = await gather([
    "/q p",
    "q/worst a 2",
    "q/best a 0",
    "q/unranked a",
    "best/more p",
    "best/other p",
    "more/end a 1",
    "more/gone a 0 deleted",
    "end/unanswered p",
    "/silent p",
    "/second p",
    "second/reply a",
  ]);
  assert.deepEqual(paths, [
    "line 1: user q,assistant best,user more,assistant end",
    "line 11: user second,assistant reply",
  ]);
  assert.deepEqual(faults, ["line 10: no assistant has replied to this message"]);
});

Deno.test("the importer of OASST1 names messages that hang in the air", async () => {
  const [paths, faults] = await gather(["/q p", "q/r a", "lost/x a", "q/r a", "q/z judge"]);
  assert.deepEqual(paths, ["line 1: user q,assistant r"]);
  assert.deepEqual(faults, [
    'line 4: the message "r" is there twice',
    'line 5: the role is "judge"; wanted prompter or assistant',
    'line 3: it answers the message "lost", which is not there',
  ]);
});
