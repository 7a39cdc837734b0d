import assert from "node:assert/strict";
import { askPython } from "../../../tests/support/ask_python.ts";
import { testUnless } from "../../../tests/support/optional.ts";
import { findPython } from "../../environment/oracles.ts";
import { JinjaTemplate, TemplateError } from "./jinja.ts";

const python = await findPython(["jinja2"]);

const VALUES = {
  question: " Why? ",
  choices: ["a", "b\n", "é"],
  answer: 1,
  row: { note: null, deep: { x: 2.5 } },
};

/** No list or truth value is printed: the library writes those as JSON does, Python in its own way. */
const TEMPLATES = [
  "Question: {{ question }}\nAnswer:\n",
  "{{question|trim}} {{ choices[answer] }}|{{ choices | length }}|{{ choices|join(', ') }}",
  "{% for choice in choices %}\n  {{ loop.index }}. {{ choice }}\n{% endfor %}\nend",
  "{%- if row.missing %}yes{% else %} no {% endif -%}  \n {{ row.deep.x }}",
  "{% set letters = ['A', 'B', 'C'] %}{{ letters[answer] }}{{ letters[-1] }}{{ letters[:2] | join }}",
  "{{ question.strip().upper() }}{{ '####' | replace('##', '-') }}\t{{ answer + 1 }}\n\n",
  "{% for i in range(3) %}{{ i }}{% if not loop.last %},{% endif %}{% endfor %}",
  "{{ question if answer == 1 else 'no' }}{# a comment #} {{ 'x' ~ answer }} {{ 'd' if answer is defined }}",
  "{% macro f(x) %}[{{ x }}]{% endmacro %}{{ f(question) }}{{ nothing }}",
];

testUnless(
  python === null ? "there is no python3 with jinja2" : null,
  "JinjaTemplate renders as Jinja2 does",
  async () => {
    const script = "import json, sys\nfrom jinja2 import Environment\n" +
      "templates, values = json.load(sys.stdin)\n" +
      "plain = Environment(keep_trailing_newline=True)\n" +
      "chat = Environment(trim_blocks=True, lstrip_blocks=True)\n" +
      "print(json.dumps([[e.from_string(t).render(**values) for t in templates] for e in (plain, chat)]))";
    const printed = await askPython(python, script, [TEMPLATES, VALUES]);
    const [plain, chat] = JSON.parse(printed) as string[][];
    const rendered = (trimBlocks: boolean) =>
      TEMPLATES.map((source) => new JinjaTemplate(source, { trimBlocks }).render(VALUES));
    assert.deepEqual(rendered(false), plain);
    assert.deepEqual(rendered(true), chat);
    assert.notDeepEqual(plain, chat);
  },
);

Deno.test("JinjaTemplate names what is asked for and not there", () => {
  const template = new JinjaTemplate(
    "{% for x in list %}{{ x }}{{ inner }}{% endfor %}{{ outer }}{{ row.any }}{% set s = 1 %}{{ s }}",
  );
  const missing = new Set<string>();
  const text = template.render({ list: [1, 2], row: {} }, (name) => missing.add(name));
  assert.equal(text, "121");
  assert.deepEqual([...missing].sort(), ["inner", "outer"]);
});

Deno.test("JinjaTemplate refuses what is no template, and passes exceptions on", () => {
  for (const source of ["{{ x", "{% if x %}", "{% for %}{% endfor %}"]) {
    assert.throws(() => new JinjaTemplate(source), TemplateError);
  }
  const raising = new JinjaTemplate("{{ raise_exception('roles must alternate') }}");
  assert.throws(() => raising.render({}), /^TemplateError: roles must alternate$/);
  // No clock: what is made today is what is made tomorrow.
  assert.equal(new JinjaTemplate("{{ strftime_now is defined }}").render({}), "false");
});
