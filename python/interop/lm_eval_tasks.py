"""
lm-evaluation-harness's own runner over two tasks, once with --model tokensieve and once with --model hf: the same figures.

    PYTHONPATH=python/src python python/interop/lm_eval_tasks.py MODEL TEXTS.parquet 'node dist/cli/main.js'

The tasks are made of TEXTS (a column `text`) as tasks of a user's are, in YAML: forty items of multiple choice (which of four sentences goes on here, the right
one beside three of other texts), and ten texts whose perplexity is rolled.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

CHOICE = """
task: ours_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{context}}}}"
doc_to_target: answer
doc_to_choice: choices
target_delimiter: " "
metric_list:
  - metric: acc
  - metric: acc_norm
"""
ROLLING = """
task: ours_rolling
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - metric: word_perplexity
  - metric: byte_perplexity
  - metric: bits_per_byte
"""


def make_tasks(folder: Path, texts: list[str]) -> None:
    random.seed(5)
    cut = [text.split(" ") for text in texts if len(text.split(" ")) > 30]
    items = []
    for at in range(40):
        words = cut[at % len(cut)]
        choices = [" ".join(own[12:20]) for own in [words, *random.sample(cut[:at] + cut[at + 1 :], 3)]]
        order = random.sample(range(4), 4)
        items.append(
            {"context": " ".join(words[:12]), "choices": [choices[i] for i in order], "answer": order.index(0)}
        )
    for name, template, rows in (
        ("choice", CHOICE, items),
        ("rolling", ROLLING, [{"text": text} for text in texts[:10]]),
    ):
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / f"{name}.yaml").write_text(template.format(data=data))


def run(model: str, arguments: str, tasks: Path, out: Path) -> dict[str, dict[str, float]]:
    command = [sys.executable, "-m", "tokensieve.harness", "run", "--model", model, "--model_args", arguments]
    command += [
        "--tasks",
        "ours_choice,ours_rolling",
        "--include_path",
        str(tasks),
        "--output_path",
        str(out),
        "--device",
        "cpu",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{model}: exit {done.returncode}: {(done.stderr.strip() or done.stdout.strip())[-2000:]}")
    (file,) = out.rglob("results_*.json")
    results: dict[str, Any] = json.loads(file.read_text())["results"]
    return {
        task: {name: value for name, value in found.items() if isinstance(value, float) and "stderr" not in name}
        for task, found in results.items()
    }


def main(model: str, texts: str, command: str) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make_tasks(folder, pq.read_table(texts, columns=["text"])["text"].to_pylist())
        theirs = run("hf", f"pretrained={model},dtype=float32", folder, folder / "hf")
        ours = run("tokensieve", f"model={model},command={command}", folder, folder / "tokensieve")
    assert ours.keys() == theirs.keys() == {"ours_choice", "ours_rolling"}
    for task, figures in theirs.items():
        assert ours[task].keys() == figures.keys()
        for name, value in figures.items():
            print(f"{task} {name}: hf {value:.9g}, tokensieve {ours[task][name]:.9g}")
            assert abs(ours[task][name] - value) <= 1e-6 * abs(value), (task, name)


if __name__ == "__main__":
    main(*sys.argv[1:])
