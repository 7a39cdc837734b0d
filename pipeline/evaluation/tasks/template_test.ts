import assert from "node:assert/strict";
import { findPython } from "../../environment/oracles.ts";
import { askPython } from "../../../tests/support/ask_python.ts";
import { testUnless } from "../../../tests/support/optional.ts";
import { Template, TemplateError } from "./template.ts";

const DOCUMENT = {
  question: "  What is it?\n",
  choices: { text: ["it's", 'a "b"', "c\n"], label: ["A", "B", "1"] },
  key: " B",
  list: ["x", "y"],
  number: 3,
  half: 0.5,
  yes: true,
  nothing: null,
  smile: "🙂!",
  empty: "",
};

const TEMPLATES = [
  "{{question.strip()}}\nA. {{list[0]}}\nAnswer:",
  "ends with a newline\n",
  "ends with two\n\n",
  "{{choices.text}}",
  "{{choices.label.index(key.lstrip())}}",
  "{{[list[0], number, half, yes, nothing, 'q']}}",
  "{{answer.split('####')[-1].strip() if answer is defined else number}}",
  "{{missing|default('none')}}",
  "{% if yes %}{{yes}}{% else %}no{% endif %}",
  "{% for item in list %}{{loop.index}}. {{item}}\n{% endfor %}",
  "{% set letters = ['A', 'B'] %}{{letters[number - 2]}}",
  "{{list|join(', ')}}",
  "{{smile|length}} {{list|length}}",
  "{{number == '3'}} {{number == 3}} {{list == ['x', 'y']}} {{yes == 1}} {{number != '3'}}",
  "{{question.strip().lower().replace('what', 'Where')}}",
  "{{smile.index('!')}} {{question.strip('\\n ?')}}",
  "{{'a' ~ number}}{{ 7 // 2 }} {{ 1 / 2 }}",
  "{{list[-1]}}{{question[2:6]}}",
  "{{'x' in list}} {{'z' not in list}}",
  "  {%- if number > 2 %} big {%- endif %}  ",
  "{% if empty %}a{% endif %}b",
  "{{ choices['text'][0] }}",
  "{{ question|trim }}|{{ number|string }}",
  "{{list|join}}{{ ' - '.join(list) }}",
  "{{nothing}}",
];

const SCRIPT = `
import json, sys
from jinja2 import Environment, StrictUndefined
env = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
document, templates = json.load(sys.stdin)
print(json.dumps([env.from_string(t).render(**document) for t in templates]))
`;

const python = await findPython(["jinja2"]);
testUnless(
  python === null ? "no python3 with jinja2" : null,
  "Jinja's own renderer says the same",
  async () => {
    const printed = await askPython(python, SCRIPT, [DOCUMENT, TEMPLATES]);
    const expected = JSON.parse(printed);
    assert.deepEqual(TEMPLATES.map((source) => new Template(source).render(DOCUMENT)), expected);
  },
);

Deno.test("a column that is missing is named", () => {
  const render = (source: string) => () => new Template(source).render(DOCUMENT);
  assert.throws(render("{{qestion}}"), /there is no column "qestion"/);
  assert.throws(render("{{choices.txt[0]}}"), /there is no column "choices.txt"/);
  assert.throws(render("{% if qestion %}a{% endif %}"), /there is no column "qestion"/);
  assert.throws(render("{{qestion.strip()}}"), TemplateError);
  assert.throws(render("{{choices.label.index('Z')}}"), /Z is not in \['A', 'B', '1'\]/);
  assert.throws(render("{{list.strip()}}"), TemplateError);
});

Deno.test("what is not a template is refused", () => {
  assert.throws(() => new Template("{{ a"), TemplateError);
  assert.throws(() => new Template("{% if a %}"), TemplateError);
});
