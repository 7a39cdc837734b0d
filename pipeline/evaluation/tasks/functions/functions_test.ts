import assert from "node:assert/strict";
import { UserError } from "../../../errors.ts";
import { boolq, mmlu, openbookqa } from "./columns.ts";
import { cleanText, hellaswag } from "./hellaswag.ts";
import { arithmetic, firstLetter, gsm8kLoftq, lastNumber, loftqAnswer } from "./numeric_answers.ts";
import { findFunction } from "./registry.ts";
import { detokenize, wikitext } from "./wikitext.ts";
import { winogrande } from "./winogrande.ts";

Deno.test("HellaSwag: contexts without the marks of WikiHow", () => {
  const clean = hellaswag.rows?.["utils.process_docs"];
  const query = (activity_label: string, ctx_a: string, ctx_b: string) =>
    clean?.({ activity_label, ctx_a, ctx_b, endings: [" [x]  a"], label: "2" });
  const vector = "[header] How to Bake [title] Preheat  the oven. [step] Set it to 350 F.";
  assert.deepEqual(query("Baking", vector, ""), {
    ...{ activity_label: "Baking", ctx_a: vector, ctx_b: "", endings: [" [x]  a"], label: "2" },
    query: "Baking: How to Bake. Preheat the oven. Set it to 350 F.",
    choices: [" a"],
    gold: 2,
  });
  assert.equal(query("X", "A ", "the NASA Team")?.query, "X: A The nasa team");
  assert.equal(cleanText("four    spaces"), "four  spaces");
  assert.equal(cleanText("[over\nlines]"), "[over\nlines]");
});

Deno.test("WinoGrande: the sentence is cut at its first gap", () => {
  const row = { sentence: "a _ b _ c ", option1: "x", option2: "y", answer: "2" };
  const { fields } = winogrande;
  assert.equal(fields?.["preprocess_winogrande.doc_to_text"]?.(row), 1);
  assert.equal(fields?.["preprocess_winogrande.doc_to_target"]?.(row), "b _ c");
  assert.deepEqual(fields?.["preprocess_winogrande.doc_to_choice"]?.(row), ["a x", "a y"]);
  assert.throws(
    () => fields?.["preprocess_winogrande.doc_to_choice"]?.({ ...row, sentence: "no gap" }),
    /has no gap/,
  );
  assert.throws(
    () => fields?.["preprocess_winogrande.doc_to_text"]?.({ ...row, answer: "" }),
    /must be "1" or "2": found ""/,
  );
});

Deno.test("WikiText: words are counted before the text is detokenized", () => {
  const page = " \n = Robert = \n";
  const metrics = wikitext.results?.["preprocess_wikitext.process_results"]?.({ page }, [-4.5]);
  assert.deepEqual(metrics, {
    word_perplexity: [-4.5, 5],
    byte_perplexity: [-4.5, 15],
    bits_per_byte: [-4.5, 15],
  });
  assert.equal(detokenize('1 @,@ 000 ( a ) ; " b " \'s'), '1,000 (a); "b"\'s');
});

Deno.test("LoftQ: the first number after the marker, else the last", () => {
  for (
    const [text, answer] of [
      ["The final answer is:  $1,080 and 3", 1080],
      ["The final answer is: 5 - 3 = 2", 5],
      ["10-5=5", 5],
      ["7 eggs. The final answer is: none", 7],
      ["The final answer is 12. 13", 13],
      ["no number", Infinity],
      ["3.50.", 3.5],
    ] as const
  ) assert.equal(loftqAnswer(text), answer, text);
  const compare = gsm8kLoftq.results?.exact_number;
  assert.deepEqual(
    ["x 18.0", "The final answer is: 18 19", "17", "none"].map((text) =>
      compare?.({ answer: "a\n#### 18" }, [text]).exact_match
    ),
    [1, 1, 0, 0],
  );
});

Deno.test("LLM-Adapters: the last number within a thousandth, or the first letter A to E", () => {
  assert.equal(lastNumber("1,234 and -5."), -5);
  assert.equal(firstLetter("A train leaves: (D)"), "A");
  assert.equal(firstLetter("none of them"), "");
  const compare = (answer: unknown, text: string) =>
    arithmetic.results?.compare?.({ answer }, [text]).exact_match;
  assert.deepEqual(
    [
      compare("1.8333333333333335", "it is 1.833"),
      compare("8.0", "so 8"),
      compare("8.0", "so 8.01"),
      compare("-15.0", "none"),
      compare("D", "The answer is D."),
      compare("D", "Because of that: D"),
      compare("D", ""),
    ],
    [1, 1, 0, 0, 1, 0, 0],
  );
});

Deno.test("columns of the authors become those of the Hub", () => {
  const rows = mmlu.rows?.columns;
  const choices = ["a", "b", "c", "d"];
  const [choice0, choice1, choice2, choice3] = choices;
  const row = { question: "q", choice0, choice1, choice2, choice3, answer: "2" };
  assert.deepEqual([rows?.(row).choices, rows?.(row).answer], [choices, 2]);
  const letters = { question: "q", A: "a", B: "b", C: "c", D: "d", answer: "C" };
  assert.deepEqual([rows?.(letters).choices, rows?.(letters).answer], [choices, 2]);
  assert.throws(() => rows?.({ ...row, answer: "4" }), /must be 0 to 3 or A to D: found 4/);
  assert.throws(() => rows?.({ question: "q", answer: 1 }), /there is no column "A"/);
  assert.equal(boolq.rows?.columns?.({ answer: true }).label, 1);
  assert.deepEqual(
    openbookqa.rows?.columns?.({
      question: { stem: "s", choices: [{ text: "t", label: "A" }] },
      answerKey: "A",
    }),
    {
      question: { stem: "s", choices: [{ text: "t", label: "A" }] },
      answerKey: "A",
      question_stem: "s",
      choices: { text: ["t"], label: ["A"] },
    },
  );
});

Deno.test("a function belongs to its task; others are refused by file and line", () => {
  const reference = { function: "utils.process_docs", place: "task.yaml:7" };
  assert.equal(typeof findFunction(reference, "rows", ["hellaswag"]), "function");
  assert.throws(() => findFunction(reference, "rows", ["other"]), (error: Error) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, /^task\.yaml:7: !function utils\.process_docs is Python/);
    assert.match(error.message, /allowed: .*hellaswag\/utils\.process_docs/);
    return true;
  });
});
