import assert from "node:assert/strict";
import { askPython } from "../../../tests/support/ask_python.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../../../tests/support/optional.ts";
import { UserError } from "../../errors.ts";
import { findPython } from "../../environment/oracles.ts";
import { BadRow } from "../importers/bad_row.ts";
import type { ConversationSample, Message } from "../importers/sample.ts";
import { ChatTemplate, type LearnedTurns } from "./chat_template.ts";
import type { ChatTemplateFiles } from "./chat_template_files.ts";
import type { MarkedText } from "./marked_text.ts";

const python = await findPython(["jinja2"]);

const FILES: ChatTemplateFiles = {
  source: null,
  name: "tokenizer_config.json",
  roles: { bos_token: "<s>", eos_token: "</s>" },
  specialTokens: ["<s>", "</s>", "<end>", "<|eot_id|>", "<|start_header_id|>"],
};

const MESSAGES: readonly Message[] = [
  { role: "system", content: "Be brief." },
  { role: "user", content: " Hi! " },
  { role: "assistant", content: "Hello\n" },
  { role: "user", content: "Hello" },
  { role: "assistant", content: "Hello again" },
];

/** Templates that mean the same, with and without marks. */
const MARKED = `{{ bos_token }}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {{- '[' + message.role + '] ' }}
        {%- generation %}
        {{- message.content + '<end>' }}
        {%- endgeneration %}
    {%- else %}
        {{- '[' + message['role'] + '] ' + message.content + '<end>' }}
    {%- endif %}
    {{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '[assistant] ' }}
{%- endif %}
`;
const UNMARKED = MARKED.replaceAll(/\n *\{%- (end)?generation %\}/g, "");

function conversation(messages = MESSAGES, context = 0): ConversationSample {
  return { kind: "conversation", messages, context, extra: {} };
}

function render(source: string, sample = conversation(), turns: LearnedTurns = "every") {
  return new ChatTemplate(source, FILES).render(sample, turns);
}

/** The text with ⟦ ⟧ around what is learned; ! where that has no end. */
function shown({ text, learned }: MarkedText): string {
  let [result, from] = ["", 0];
  for (const { start, end, isClosed } of learned) {
    result += `${text.slice(from, start)}⟦${text.slice(start, end)}⟧${isClosed ? "" : "!"}`;
    from = end;
  }
  return result + text.slice(from);
}

Deno.test("ChatTemplate learns the assistant's turns and their ends, marked or not", () => {
  const begin = "<s>[system] Be brief.<end>\n[user]  Hi! <end>\n[assistant] ";
  const every = `${begin}⟦Hello\n<end>⟧\n[user] Hello<end>\n[assistant] ⟦Hello again<end>⟧`;
  const last = `${begin}Hello\n<end>\n[user] Hello<end>\n[assistant] ⟦Hello again<end>⟧`;
  for (const source of [MARKED, UNMARKED]) {
    assert.equal(shown(render(source)), every);
    assert.equal(shown(render(source, conversation(), "last")), last);
    assert.equal(shown(render(source, conversation(MESSAGES, 3))), last);
    // What follows the last turn is not needed.
    const asked = [...MESSAGES, { role: "user", content: "Bye" }];
    assert.equal(shown(render(source, conversation(asked))), every);
  }
});

Deno.test("ChatTemplate says which turns have no end", () => {
  const open = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}" +
    "{% if add_generation_prompt %}assistant: {% endif %}";
  assert.equal(
    shown(render(open, conversation(MESSAGES.slice(1, 3)))),
    "user:  Hi! \nassistant: ⟦Hello\n\n⟧!",
  );
  const early = MARKED.replace(" + '<end>' }}\n        {%- endg", " }}\n        {%- endg");
  assert.ok(render(early).learned.every(({ isClosed }) => !isClosed));
});

Deno.test("ChatTemplate finds turns where the template always asks for the next", () => {
  const asking = "{% for m in messages %}<|start_header_id|>{{ m.role }}\n{{ m.content | trim }}" +
    "<|eot_id|>{% endfor %}{{ '<|start_header_id|>assistant\n' }}";
  assert.equal(
    shown(render(asking, conversation(MESSAGES.slice(1)))),
    "<|start_header_id|>user\nHi!<|eot_id|><|start_header_id|>assistant\n⟦Hello<|eot_id|>⟧" +
      "<|start_header_id|>user\nHello<|eot_id|><|start_header_id|>assistant\n⟦Hello again<|eot_id|>⟧",
  );
  const plain = "{% for m in messages %}### {{ m.role }}: {{ m.content }}\n{% endfor %}" +
    "{{ '### assistant: ' }}";
  const same = ["user", "assistant"].map((role) => ({ role, content: "Hello" }));
  assert.equal(
    shown(render(plain, conversation(same))),
    "### user: Hello\n### assistant: ⟦Hello⟧!",
  );
  // What ends a turn need not be a special token.
  const hashes = "{% for m in messages %}{{ m.role }}: {{ m.content }}###\n{% endfor %}" +
    "{% if add_generation_prompt %}assistant: {% endif %}";
  assert.equal(
    shown(render(hashes, conversation(same))),
    "user: Hello###\nassistant: ⟦Hello###\n⟧!",
  );
  // It never asks, so that all that the assistant's turn adds is learned.
  const silent = plain.replace("{{ '### assistant: ' }}", "");
  assert.equal(
    shown(render(silent, conversation(same))),
    "### user: Hello\n⟦### assistant: Hello\n⟧!",
  );
});

Deno.test("ChatTemplate refuses conversations with nothing to learn, or nothing to tell by", () => {
  const refuses = (source: string, sample: ConversationSample, message: RegExp) =>
    assert.throws(() => render(source, sample), (error) => {
      assert.ok(error instanceof BadRow, String(error));
      assert.match(error.message, message);
      return true;
    });
  refuses(MARKED, conversation(MESSAGES.slice(0, 2)), /no turn is the assistant's/);
  const empty = [...MESSAGES.slice(0, 4), { role: "assistant", content: " \n" }];
  for (const source of [MARKED, UNMARKED]) {
    refuses(source, conversation(empty), /message 5 is an empty reply/);
  }
  refuses(MARKED, conversation([...MESSAGES, { role: "user", content: "a\uFDD1" }]), /U\+FDD0/);
  const alternating = `{% if messages[0].role != 'user' %}{{ raise_exception('user first') }}` +
    `{% endif %}${UNMARKED}`;
  refuses(alternating, conversation(), /the chat template refuses.*: user first/);
  // Thoughts of earlier turns are left out, as reasoning models' templates do.
  const forgetful = UNMARKED.replaceAll(
    "message.content +",
    "(message.content if loop.last else message.content | upper) +",
  );
  refuses(forgetful, conversation(), /message 3 differently.*put \{% generation %\}/);
  const thinking = UNMARKED.replace("'[assistant] '", "'[assistant] <think>'");
  refuses(thinking, conversation(), /message 3 differently/);
  const unmarking = MARKED.replace("== 'assistant'", "== 'robot'");
  refuses(unmarking, conversation(), /marks 0 parts .* has 2 turns/);
  assert.throws(() => new ChatTemplate("{% if %}", FILES), /tokenizer_config\.json: not a Jinja/);
});

Deno.test("ChatTemplate.open() reads what model folders have", async () => {
  const folder = await Deno.makeTempDir();
  const write = (name: string, value: unknown) =>
    Deno.writeTextFile(
      `${folder}/${name}`,
      typeof value === "string" ? value : JSON.stringify(value),
    );
  const text = () => ChatTemplate.open(folder).render(conversation(MESSAGES.slice(1, 3)));
  try {
    assert.throws(() => ChatTemplate.open(folder), /the tokenizer has no chat template/);
    const config = { bos_token: { content: "<b>" }, eos_token: "<e>", pad_token: null };
    const source = "{{bos_token}}{% for m in messages %}{{m.content+eos_token}}{% endfor %}";
    await write("tokenizer_config.json", { ...config, chat_template: source });
    assert.equal(shown(text()), "<b> Hi! <e>⟦Hello\n<e>⟧");
    await write("tokenizer_config.json", {
      ...config,
      chat_template: [{ name: "tool_use", template: "x" }, { name: "default", template: source }],
    });
    assert.equal(shown(text()), "<b> Hi! <e>⟦Hello\n<e>⟧");
    await write("chat_template.jinja", source.replace("m.content", "'>'+m.content"));
    await write("tokenizer.json", { added_tokens: [{ content: "<x>", special: true }] });
    assert.equal(shown(text()), "<b>> Hi! <e>⟦>Hello\n<e>⟧");
    assert.match(
      shown(
        ChatTemplate.open(folder, source.replace("+eos_token", "~'<x>'")).render(
          conversation(MESSAGES.slice(1, 3)),
        ),
      ),
      /⟦Hello\n<x>⟧$/,
    );
    await write("tokenizer_config.json", { chat_template: [{ name: "rag", template: "x" }] });
    await Deno.remove(`${folder}/chat_template.jinja`);
    assert.throws(() => ChatTemplate.open(folder), UserError);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Renders with Jinja2, a tag `generation` that puts ⟦ ⟧ around its body, as transformers defines it. */
const ORACLE = `
import json, sys
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.ext import Extension
from jinja2.nodes import CallBlock
class Generation(Extension):
    tags = {"generation"}
    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return CallBlock(self.call_method("mark"), [], [], body).set_lineno(line)
    def mark(self, caller): return "⟦" + caller() + "⟧"
environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation])
template, values = json.load(sys.stdin)
print(json.dumps(environment.from_string(template).render(**values)))
`;

async function renderWithPython(template: string, values: object): Promise<string> {
  return JSON.parse(await askPython(python, ORACLE, [template, values]));
}

const NO_JINJA2 = python === null ? "there is no python3 with jinja2" : null;

testUnless(NO_JINJA2, "ChatTemplate marks what Jinja2 marks", async () => {
  const [loose, tight] = [
    MARKED,
    // White space that the tags take or leave.
    "{% for m in messages %}\n  {% generation %}\n {{ m.content }} \n  {%- endgeneration %}\n" +
    " x{%- generation -%} y {% endgeneration -%}\n{% endfor %}",
  ];
  assert.equal(
    shown(render(loose)).replaceAll(/\n$/g, ""),
    (await renderWithPython(loose, { ...FILES.roles, messages: MESSAGES })).trimEnd(),
  );
  const twice = { messages: [{ role: "assistant", content: "a" }] };
  const expected = await renderWithPython(tight, twice);
  assert.throws(
    () => render(tight, conversation(twice.messages)),
    /marks 2 parts .* has 1 turns/,
  );
  const doubled = [...twice.messages, { role: "assistant", content: "a" }];
  const once = tight.replace("in messages", "in messages[:1]");
  assert.equal(shown(render(once, conversation(doubled))).replaceAll("!", ""), expected);
});

testUnless(
  NO_TEST_DATA ?? NO_JINJA2,
  "ChatTemplate renders Llama 3's template and finds its turns",
  async () => {
    const folder = `${TEST_DATA}/tokenizers/llama3`;
    const { chat_template: source } = JSON.parse(
      await Deno.readTextFile(`${folder}/tokenizer_config.json`),
    );
    const expected = await renderWithPython(source, {
      bos_token: "<|begin_of_text|>",
      messages: MESSAGES,
    });
    const header = (role: string) => `<|start_header_id|>${role}<|end_header_id|>\n\n`;
    const marked = ChatTemplate.open(folder).render(conversation());
    assert.equal(marked.text + header("assistant"), expected);
    assert.equal(
      shown(marked),
      `<|begin_of_text|>${header("system")}Be brief.<|eot_id|>${header("user")}Hi!<|eot_id|>` +
        `${header("assistant")}⟦Hello<|eot_id|>⟧${header("user")}Hello<|eot_id|>` +
        `${header("assistant")}⟦Hello again<|eot_id|>⟧`,
    );
  },
);
