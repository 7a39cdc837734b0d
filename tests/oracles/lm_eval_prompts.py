"""What lm-evaluation-harness asks and counts, as fixtures for our own tasks.

    python3 tests/oracles/lm_eval_prompts.py HARNESS DATA > tests/fixtures/lm_eval_prompts.json

HARNESS is a checkout of https://github.com/EleutherAI/lm-evaluation-harness, DATA the folder of test
data. The harness runs as it is: its task files, samplers, prompts, filters and metrics. Only libraries
that it imports and that nothing here uses are stand-ins: `datasets` hands out the rows below instead of
downloading. Rows of benchmarks leave only hashes and lengths of their prompts in the output; invented
rows leave the strings themselves.
"""

import hashlib
import importlib.metadata
import json
import random
import subprocess
import sys
import types
from pathlib import Path

import yaml

HARNESS, DATA = Path(sys.argv[1]), Path(sys.argv[2])


class Dataset(list):
    """Rows, as much of `datasets.Dataset` as the harness uses."""

    @property
    def features(self):
        return {key: None for row in self for key in row}

    def map(self, function):
        return Dataset([{**row, **function(row)} for row in self])


SPLITS = {}


def stand_in(name, **members):
    module = types.ModuleType(name)
    module.__dict__.update(members)
    module.__getattr__ = lambda attribute: type(attribute, (), {})
    sys.modules[name] = module


stand_in(
    "datasets",
    Dataset=Dataset,
    __version__="4.0.0",
    load_dataset=lambda path, name=None, **_: SPLITS,
)
for missing in ("sacrebleu", "dill", "evaluate", "pytablewriter", "zstandard", "jsonlines", "peft"):
    try:
        __import__(missing)
    except ImportError:
        stand_in(missing)
try:
    import tqdm  # noqa: F401
except ImportError:
    stand_in("tqdm", tqdm=lambda items, **_: items)

# A checkout that is not installed has no version.
importlib.metadata.version = lambda _: "checkout"
sys.path.insert(0, str(HARNESS))
from lm_eval.api.metrics import mean, pooled_sample_stderr, stderr_for_metric  # noqa: E402
from lm_eval.api.task import ConfigurableTask  # noqa: E402
from lm_eval.tasks._yaml_loader import load_yaml  # noqa: E402

TASKS = HARNESS / "lm_eval" / "tasks"

WORDS = "amber basin cedar delta ember fjord glade heron islet jetty knoll lagoon maple nectar".split()


def words(rng, low, high):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))


def hellaswag(rng, index):
    return {
        "activity_label": rng.choice(["Sailing", "How to [substep]", "Baking bread"]),
        "ctx_a": f"[header] {words(rng, 3, 6)} [title] {words(rng, 2, 5)}  {words(rng, 1, 3)}.",
        "ctx_b": rng.choice(["", "the OLD Captain", "éCLAIRS and 🙂 maps", "a  wide [step] river"]),
        "endings": [f" [step] {words(rng, 2, 9)}{mark}" for mark in (".", "  !", "", " [x] é.")],
        "label": str(index % 4),
        "source_id": f"invented~{index}",
    }


def piqa(rng, index):
    return {
        "goal": f"To {words(rng, 2, 5)}?",
        "sol1": f"{words(rng, 2, 4)}, it's \"done\"",
        "sol2": words(rng, 3, 8),
        "label": index % 2,
    }


def winogrande(rng, index):
    return {
        "sentence": f"The {words(rng, 2, 4)} met _ because   {words(rng, 2, 5)}, not _ . ",
        "option1": words(rng, 1, 2),
        "option2": words(rng, 1, 3),
        "answer": str(index % 2 + 1),
    }


def arc(rng, index):
    labels = [["A", "B", "C", "D"], ["1", "2", "3"], ["A", "B", "C", "D", "E"]][index % 3]
    return {
        "id": f"invented_{index}",
        "question": f"Which {words(rng, 3, 7)}?",
        "choices": {
            "text": [rng.choice(["it's ", 'the "', "ü "]) + words(rng, 1, 4) for _ in labels],
            "label": labels,
        },
        "answerKey": labels[index % len(labels)],
    }


def openbookqa(rng, index):
    row = arc(rng, 3 * index)
    return {
        "question_stem": row["question"][:-1],
        "choices": row["choices"],
        "answerKey": " " + row["answerKey"],
    }


def boolq(rng, index):
    return {
        "passage": f"{words(rng, 9, 20)}.\n{words(rng, 3, 5)}",
        "question": f"is the {words(rng, 2, 3)}",
        "label": index % 2,
    }


def gsm8k(rng, index):
    a, b = rng.randint(2, 9), rng.randint(10, 999)
    return {
        "question": f"A {words(rng, 1, 2)} costs ${b}. What do {a} cost?",
        "answer": f"{a} cost {a} * {b} = $<<{a}*{b}={a * b}>>{a * b:,}.\n#### {a * b:,}",
    }


def example(rng, index):
    row = gsm8k(rng, index)
    return {
        "question": row["question"],
        "target": f"It is {index} + {index}. The answer is {2 * index}.",
    }


def mmlu(rng, index):
    return {
        "question": f"  Which of these {words(rng, 2, 6)}?\n",
        "choices": [f"{words(rng, 1, 3)} {letter}" for letter in "abcd"],
        "answer": (index * 3) % 4,
        "subject": "anatomy",
    }


def page(rng, index):
    return {
        "page": f" \n = {words(rng, 1, 2)} = \n \n The \" {words(rng, 1, 2)} \" of 1 @,@ 000 @.@ 5 men ( {words(rng, 1, 2)} ) , "
        f"it 's s ' N 7 \u00b0 C ; well @-@ made ! \n = = {words(rng, 1, 1)} = = \n = = = [ {words(rng, 1, 1)} ] = = = \n "
        f"= = = = a : b ? {{ c }} = = = = \n N 's ' d ' é {words(rng, index, index + 3)} . \n"
    }


def responses_of(output, index, count, rng):
    """Invented answers of a model: log-likelihoods with ties, texts with and without a number."""
    if output == "generate_until":
        return [
            rng.choice(
                [
                    "It is 5 + 5.\n#### 10",
                    "The answer is 12.",
                    "The answer is 15",
                    "so $1,234.50.",
                    "no number at all",
                    "#### -7,000.",
                    "The answer is $15.",
                    "18.\n\n#### 18. #### 19",
                    "It costs 10 dollars ...",
                ]
            )
        ]
    if output == "loglikelihood_rolling":
        return [-(rng.randint(1, 400) / 8)]
    return [(-(rng.randint(1, 24) / 4), bool(rng.randint(0, 1))) for _ in range(count)]


# Longer prompts are kept as hashes, too.
LONGEST = 700


def digest(text):
    return {"sha256": hashlib.sha256(text.encode()).hexdigest(), "length": len(text)}


def logged(arguments, hidden):
    def show(value):
        if not isinstance(value, str) or len(value) <= 2:
            return value
        return digest(value) if hidden or len(value) > LONGEST else value

    return [show(value) for value in arguments]


def ask(name, path, shots, splits, data=None, overrides=None, limit=None, source=None):
    """Builds the requests of a task, answers them with inventions and counts."""
    SPLITS.clear()
    SPLITS.update({split: Dataset(rows) for split, rows in splits.items()})
    config = load_yaml(TASKS / path) if source is None else yaml.safe_load(source)
    config.pop("tag", None)
    config = {"task": name, **config, **(overrides or {}), "num_fewshot": shots}
    task = ConfigurableTask(config=config)
    task.set_fewshot_seed(1234)
    task.build_all_requests(limit=limit)
    by_document = {}
    for instance in task.instances:
        by_document.setdefault(instance.doc_id, []).append(instance)
    rng = random.Random(7)
    items, columns = [], {}
    for index, instances in by_document.items():
        answers = [
            answer
            for _ in range(task.config.repeats)
            for answer in responses_of(task.OUTPUT_TYPE, index, len(instances), rng)
        ]
        for position, answer in enumerate(answers):
            instances[position % len(instances)].resps.append(answer)
        items.append(
            {
                "arguments": [logged(instance.args, data is not None) for instance in instances],
                "responses": answers,
            }
        )
    task.apply_filters()
    for index, instances in by_document.items():
        for key in instances[0].filtered_resps:
            filtered = [instance.filtered_resps[key] for instance in instances]
            metrics = task.process_results(instances[0].doc, filtered)
            shown = items[index].setdefault("filtered", {})
            if task.OUTPUT_TYPE == "generate_until":
                shown[key] = filtered[0]
            for metric, value in metrics.items():
                items[index].setdefault("metrics", {})[f"{metric},{key}"] = value
                columns.setdefault(f"{metric},{key}", []).append(value)
    results = {}
    for key, values in columns.items():
        aggregate = task.aggregation()[key.split(",")[0]]
        error = stderr_for_metric(aggregate, 0)
        closed = stderr_for_metric(aggregate, 1) if aggregate is mean else error
        results[key] = {
            "value": float(aggregate(values)),
            "standardError": float(closed(values)) if closed and len(values) > 1 else None,
        }
    case = {"task": name, "num_fewshot": shots}
    case.update({"file": path} if source is None else {"yaml": source})
    if data is None:
        case["splits"] = splits
    else:
        case["data"] = data
    if overrides and "fewshot_config" in overrides:
        case["examples"] = overrides["fewshot_config"]["samples"]
    return {**case, "items": items, "results": results}


def rows(make, count, seed):
    rng = random.Random(seed)
    return [make(rng, index) for index in range(count)]


def read_json_lines(path):
    return [json.loads(line) for line in (DATA / path).read_text().splitlines()]


def read_mmlu(split, subject):
    import csv

    with open(DATA / f"eval/mmlu/{split}/{subject}_{split}.csv", newline="") as file:
        return [
            {
                "question": row["question"],
                "choices": [row[f"choice{index}"] for index in range(4)],
                "answer": int(row["answer"]),
                "subject": subject,
            }
            for row in csv.DictReader(file)
        ]


def cases():
    validated = {
        "hellaswag": ("hellaswag/hellaswag.yaml", hellaswag, (0, 3)),
        "piqa": ("piqa/piqa.yaml", piqa, (0, 5)),
        "winogrande": ("winogrande/default.yaml", winogrande, (0, 5)),
        "boolq": ("super_glue/boolq/default.yaml", boolq, (0, 2)),
    }
    for name, (path, make, shot_counts) in validated.items():
        for shots in shot_counts:
            splits = {"train": rows(make, 30, 1), "validation": rows(make, 4, 2)}
            yield ask(name, path, shots, splits)
    tested = {
        "arc_easy": ("arc/arc_easy.yaml", arc, (0, 5)),
        "arc_challenge": ("arc/arc_challenge.yaml", arc, (25,)),
        "openbookqa": ("openbookqa/openbookqa.yaml", openbookqa, (0, 4)),
        "gsm8k": ("gsm8k/gsm8k.yaml", gsm8k, (5, 0)),
    }
    for name, (path, make, shot_counts) in tested.items():
        for shots in shot_counts:
            splits = {"train": rows(make, 30, 3), "validation": [], "test": rows(make, 6, 4)}
            yield ask(name, path, shots, splits)
    examples = {"sampler": "first_n", "samples": rows(example, 8, 5)}
    yield ask(
        "gsm8k_cot",
        "gsm8k/gsm8k-cot.yaml",
        8,
        {"test": rows(gsm8k, 6, 6)},
        overrides={"fewshot_config": examples},
    )
    for shots in (0, 5):
        splits = {"dev": rows(mmlu, 5, 8), "test": rows(mmlu, 6, 9)}
        yield ask("mmlu_anatomy", "mmlu/default/mmlu_anatomy.yaml", shots, splits)
    yield ask("wikitext", "wikitext/wikitext.yaml", 0, {"train": [], "validation": [], "test": rows(page, 3, 10)})
    # Rows of the benchmarks themselves: only hashes of them leave.
    for subject, count in (("abstract_algebra", 3), ("professional_law", 3), ("college_mathematics", 3)):
        for shots in (0, 5):
            splits = {"dev": read_mmlu("dev", subject), "test": read_mmlu("test", subject)}
            data = {"test": f"eval/mmlu/test/{subject}_test.csv", "fewshot": f"eval/mmlu/dev/{subject}_dev.csv"}
            yield ask(f"mmlu_{subject}", f"mmlu/default/mmlu_{subject}.yaml", shots, splits, data, limit=count)
    splits = {split: read_json_lines(f"eval/gsm8k/{split}.jsonl") for split in ("train", "test")}
    data = {"test": "eval/gsm8k/test.jsonl", "fewshot": "eval/gsm8k/train.jsonl"}
    yield ask("gsm8k", "gsm8k/gsm8k.yaml", 5, splits, data, limit=3)


# Keys that the tasks above do not use.
INVENTED_TASKS = {
    "prefixed": """
dataset_path: invented
output_type: multiple_choice
training_split: train
test_split: test
description: "About {{subject}}.\\n"
doc_to_text: "Q: {{question.strip()}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{choices[answer]}}"
gen_prefix: "Reply:"
target_delimiter: "\\n"
fewshot_delimiter: "\\n---\\n"
metric_list:
  - metric: acc
  - metric: acc_norm
  - metric: exact_match
  - metric: acc_mutual_info
""",
    "examples_differ": """
dataset_path: invented
output_type: multiple_choice
validation_split: validation
fewshot_config:
  sampler: default
  doc_to_text: "{{question|trim}} ->"
  doc_to_target: "{{['a', 'b', 'c', 'd'][answer]}}"
  fewshot_delimiter: "; "
  target_delimiter: ""
doc_to_text: "{{question|trim}} -> "
doc_to_choice: {one: A, two: B, three: C, four: D}
doc_to_target: answer
target_delimiter: ""
""",
    "filled": """
dataset_path: invented
output_type: multiple_choice
validation_split: validation
doc_to_text: "{{answer % 4}}"
doc_to_choice: choices
doc_to_target: "{{question|trim}}"
gen_prefix: "Then"
target_delimiter: "~"
""",
    "likelihood": """
dataset_path: invented
output_type: loglikelihood
training_split: train
test_split: test
doc_to_text: "{{question.split(' ')[:-1]|join(' ')}}"
doc_to_target: " {{question.split(' ')[-1]}}"
metric_list:
  - metric: acc
""",
    "voted": """
dataset_path: invented
output_type: generate_until
test_split: test
fewshot_split: test
doc_to_text: "{{question}}\\nA:"
doc_to_target: "{{answer.split('#### ')[1]}}"
generation_kwargs: {until: ["\\n\\n"], do_sample: true, temperature: 0.5, max_gen_toks: 32}
repeats: 5
filter_list:
  - name: first
    filter:
      - {function: regex, regex_pattern: "(-?[0-9]+)"}
      - {function: take_first}
  - name: majority
    filter:
      - {function: regex, regex_pattern: "(-?[0-9]+)", group_select: -1, fallback: "none"}
      - {function: majority_vote}
      - {function: take_first}
  - name: three
    filter:
      - {function: take_first_k, k: 3}
      - {function: uppercase}
      - {function: remove_whitespace}
      - {function: lowercase}
      - {function: map, mapping_dict: {"the answer is 12.": "12", "no number at all": "0"}, default_value: "other"}
      - {function: take_first}
metric_list:
  - {metric: exact_match, ignore_punctuation: true, ignore_numbers: false, ignore_case: true}
""",
    "several_right": """
dataset_path: invented
output_type: generate_until
test_split: test
doc_to_text: question
doc_to_target: "{{['10', answer.split('#### ')[1], '12']}}"
generation_kwargs: {until: []}
filter_list:
  - name: number
    filter:
      - {function: regex, regex_pattern: "(-?[0-9]+)"}
      - {function: take_first}
""",
}


def invented_cases():
    splits = {"train": rows(mmlu, 12, 11), "test": rows(mmlu, 5, 12)}
    for shots in (0, 2):
        yield ask("prefixed", None, shots, splits, source=INVENTED_TASKS["prefixed"])
    yield ask("likelihood", None, 1, splits, source=INVENTED_TASKS["likelihood"])
    splits = {"validation": rows(mmlu, 6, 13)}
    yield ask("filled", None, 2, splits, source=INVENTED_TASKS["filled"])
    yield ask("examples_differ", None, 3, splits, source=INVENTED_TASKS["examples_differ"])
    splits = {"test": rows(gsm8k, 6, 14)}
    yield ask("voted", None, 2, splits, source=INVENTED_TASKS["voted"])
    yield ask("several_right", None, 0, splits, source=INVENTED_TASKS["several_right"])


def main():
    commit = subprocess.run(
        ["git", "-C", str(HARNESS), "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip() or (HARNESS / "COMMIT").read_text().strip()
    pooled = [(0.04, 100), (0.05, 80), (0.01, 7)]
    document = {
        "harness": "https://github.com/EleutherAI/lm-evaluation-harness",
        "commit": commit,
        "made": "python3 tests/oracles/lm_eval_prompts.py HARNESS DATA",
        "pooled": {
            "parts": [{"standardError": error, "size": size} for error, size in pooled],
            "standardError": float(pooled_sample_stderr(*zip(*pooled))),
        },
        "cases": [*cases(), *invented_cases()],
    }
    print(json.dumps(document, ensure_ascii=False))


main()
