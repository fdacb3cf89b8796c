"""
Exports read by the readers of trainers: ids, labels, weights, and what each divides its loss by, against the run's Arrow files.

    python/interop/make.sh BITS FRACTIONS EXPORTS
    PYTHONPATH=python/src python python/interop/readers.py BITS FRACTIONS EXPORTS [trainer …]

One trainer a process is best: they ask for versions that exclude one another (`pip install --no-deps` of each beside torch, transformers, datasets
is enough for what is called here). What cannot be imported gives a line that says so; a check that fails ends the script with 1.
"""

from __future__ import annotations

import ast
import glob
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Union

import numpy as np
import torch

import tokensieve

Rows = list[tokensieve.Sequence]


def same(found: Any, wanted: Any, what: str) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape, f"{what}: {found.shape} and {wanted.shape}"
    assert np.array_equal(found, wanted), what


def labels_of(row: tokensieve.Sequence) -> Any:
    assert row.weight is not None
    return np.where(row.weight > 0, row.input_ids, -100)


def stream_of(rows: Rows) -> Any:
    """Each id once: rows but a part's first begin with the last id of the row before."""
    return np.concatenate([row.input_ids[0 if row.sequence_id == 0 else 1 :] for row in rows])


def exported(folder: str) -> Any:
    import datasets

    datasets.disable_progress_bars()
    return datasets.load_from_disk(folder)["train"]


def function_of(package: str, file: str, name: str, **names: Any) -> Callable[..., Any]:
    """A function cut from a package's source, of which importing would start much else; `names` are what it refers to."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {package!r}")
    tree = ast.parse(Path(spec.origin).parent.joinpath(file).read_text())
    (found,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    exec(ast.unparse(found), names)
    function: Callable[..., Any] = names[name]
    return function


def made_up_losses(rows: Rows) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Logits by a seed, of which no trainer's loss can be right by chance; ids, padded; and losses in fp64, not shifted."""
    length, vocabulary = max(len(row.input_ids) for row in rows), 1 + max(int(row.input_ids.max()) for row in rows)
    logits = torch.randn(len(rows), length, vocabulary, generator=torch.Generator().manual_seed(7))
    ids = torch.zeros(len(rows), length, dtype=torch.int64)
    losses = []
    for index, row in enumerate(rows):
        own = torch.from_numpy(row.input_ids.astype(np.int64))
        ids[index, : len(own)] = own
        found = -torch.log_softmax(logits[index].double(), -1)[: len(own) - 1].gather(1, own[1:, None])[:, 0]
        losses.append(torch.cat([torch.full((1,), torch.nan, dtype=torch.float64), found]))
    return logits, ids, losses


def weighted(rows: Rows, losses: list[torch.Tensor]) -> tuple[float, float]:
    """Σ w·L and Σ w, by hand."""
    weights = [torch.from_numpy(np.array(row.weight, np.float64)) for row in rows]
    total = sum(float((own[weight > 0] * weight[weight > 0]).sum()) for own, weight in zip(losses, weights))
    return total, sum(float(weight.sum()) for weight in weights)


def llmc(bits: Rows, _: Rows, exports: str) -> str:
    """The format as `write_datafile` of llm.c's dev/data/data_common.py has it, and modded-nanogpt's reader."""
    (path,) = glob.glob(f"{exports}/llmc/train.bin")
    header = np.fromfile(path, np.int32, 256)
    assert (header[0], header[1]) == (20240520, 1)
    ids = np.fromfile(path, np.uint16, offset=1024)
    assert header[2] == len(ids)
    same(ids, stream_of(bits), "ids")
    return "ids; every token is learnt, no column of weights"


def nemo(bits: Rows, _: Rows, exports: str) -> str:
    reader = import_module("nemo_automodel.components.datasets.llm.nanogpt_dataset")
    for name in ("nemo", "llmc"):
        (path,) = glob.glob(f"{exports}/{name}/train.bin")
        stream = stream_of(bits)
        same(reader.load_bin_shard(path).numpy(), stream, "ids")
        samples = iter(reader.NanogptDataset(path, seq_len=128))
        for at in range(0, 129 * 20, 129):
            item = next(samples)
            same(item["input_ids"], stream[at : at + 128], "sample")
            same(item["labels"], stream[at + 1 : at + 129], "labels")
    return "`load_bin_shard`, 20 samples of `NanogptDataset`; every token is learnt, no column of weights"


def axolotl(bits: Rows, _: Rows, exports: str) -> str:
    import datasets

    is_tokenized = function_of(
        "axolotl",
        "utils/data/wrappers.py",
        "_is_dataset_already_tokenized",
        Dataset=datasets.Dataset,
        IterableDataset=datasets.IterableDataset,
    )
    collators = import_module("axolotl.utils.collators")
    data = exported(f"{exports}/hf")
    assert is_tokenized(data)
    assert not is_tokenized(data.remove_columns(["attention_mask"]))
    rows = [{name: data[i][name] for name in ("input_ids", "labels", "attention_mask")} for i in range(8)]
    batch = collators.DataCollatorForSeq2Seq(_Tokenizer(), return_tensors="pt")(rows)
    _same_rows(batch, bits[:8])
    return "taken for tokenized (not without `attention_mask`); its collator's ids and labels of 8 rows"


def llamafactory(bits: Rows, _: Rows, exports: str) -> str:
    import os

    import datasets

    has_tokenized_data = function_of("llamafactory", "extras/misc.py", "has_tokenized_data", os=os)
    assert has_tokenized_data(f"{exports}/hf")
    names = {"Union": Union, "DatasetDict": datasets.DatasetDict, "Dataset": datasets.Dataset, "DatasetModule": dict}
    get_dataset_module = function_of("llamafactory", "data/data_utils.py", "get_dataset_module", **names)
    found = get_dataset_module(datasets.load_from_disk(f"{exports}/hf"))
    assert list(found) == ["train_dataset"]
    data = found["train_dataset"]
    for i, row in enumerate(bits):
        same(data[i]["input_ids"], row.input_ids, "ids")
        same(data[i]["labels"], labels_of(row), "labels")
    return "`has_tokenized_data` and `get_dataset_module` on `tokenized_path`: ids and labels of all rows"


def ms_swift(_: Rows, fractions: Rows, exports: str) -> str:
    import torch.nn.functional as F

    per_token_loss_func = function_of("swift", "trainers/utils.py", "per_token_loss_func", torch=torch, F=F)
    data = exported(f"{exports}/hf-fractions").with_format("numpy")
    rows = fractions[:8]
    logits, _ids, losses = made_up_losses(rows)
    length = logits.shape[1]
    labels, scale = torch.full((8, length), -100), torch.zeros(8, length)
    for i, row in enumerate(rows):
        own = data[i]
        same(own["loss_scale"], row.weight, "loss_scale")
        labels[i, : len(own["labels"])] = torch.from_numpy(own["labels"].astype(np.int64))
        scale[i, : len(own["labels"])] = torch.from_numpy(own["loss_scale"].copy())

    class Outputs:
        pass

    outputs: Any = Outputs()
    outputs.logits = logits
    # As compute_loss of its seq2seq_trainer.py goes on: rolled, multiplied, summed, divided by the number of labels.
    found = per_token_loss_func(outputs, labels) * torch.roll(scale, shifts=-1, dims=-1).view(-1)
    total, divisor = weighted(rows, losses)
    assert abs(float(found.sum()) - total) < 1e-4 * total, (float(found.sum()), total)
    count = int((labels != -100).sum())
    return f"`per_token_loss_func` × `loss_scale` is Σ w·L (by hand, 1e-4); divided by {count} labels where Σ w is {divisor:.1f}"


def litgpt(bits: Rows, _: Rows, exports: str) -> str:
    utils = import_module("litgpt.utils")
    data = exported(f"{exports}/hf")
    rows = bits[:8]
    logits, _ids, losses = made_up_losses(rows)
    labels = torch.full(logits.shape[:2], -100)
    for i in range(8):
        labels[i, : len(data[i]["labels"])] = torch.tensor(data[i]["labels"])
    # As its finetuning does: logits[..., :-1, :] against targets[..., 1:].
    found = utils.chunked_cross_entropy(logits[:, :-1], labels[:, 1:])
    total, divisor = weighted(rows, losses)
    assert abs(float(found) - total / divisor) < 1e-5, (float(found), total / divisor)
    return "`chunked_cross_entropy` of labels is Σ w·L / Σ w by hand (1e-5); its pretraining reads litdata's chunks, not ours"


def torchtune(bits: Rows, _: Rows, exports: str) -> str:
    data = import_module("torchtune.data")
    loss = import_module("torchtune.modules.loss")
    rows = bits[:8]
    table = exported(f"{exports}/hf")
    batch = data.padded_collate_sft(
        [{"tokens": table[i]["input_ids"], "labels": table[i]["labels"]} for i in range(8)], padding_idx=0
    )
    _same_rows({"input_ids": batch["tokens"], "labels": batch["labels"]}, rows)
    logits, _ids, losses = made_up_losses(rows)
    # As its recipes do: labels are shifted by one, and the last has none.
    labels = torch.hstack((batch["labels"][..., 1:], torch.full((8, 1), -100)))
    function = loss.CEWithChunkedOutputLoss()
    found = float(function(list(logits.chunk(function.num_output_chunks, dim=1)), labels))
    total, divisor = weighted(rows, losses)
    assert abs(found - total / divisor) < 1e-5, (found, total / divisor)
    return "`padded_collate_sft` of `input_ids` and `labels`; `CEWithChunkedOutputLoss` is Σ w·L / Σ w by hand (1e-5)"


class _Tokenizer:
    """What transformers' collators ask of one."""

    padding_side = "right"
    pad_token_id = 0

    def pad(self, rows: list[dict[str, list[int]]], **_: Any) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        return {
            name: torch.tensor(
                [list(row[name]) + [0 if name != "labels" else -100] * (longest - len(row[name])) for row in rows]
            )
            for name in rows[0]
        }


def _same_rows(batch: Any, rows: Rows) -> None:
    for index, row in enumerate(rows):
        length = len(row.input_ids)
        same(batch["input_ids"][index][:length], row.input_ids, "ids")
        same(batch["labels"][index][:length], labels_of(row), "labels")
        assert (np.asarray(batch["labels"][index][length:]) == -100).all(), "padding has labels"


#: Name, package, check.
TRAINERS: tuple[tuple[str, str | None, Callable[[Rows, Rows, str], str]], ...] = (
    ("llm.c", None, llmc),
    ("NeMo AutoModel", "nemo_automodel", nemo),
    ("axolotl", "axolotl", axolotl),
    ("LLaMA-Factory", "llamafactory", llamafactory),
    ("ms-swift", "ms_swift", ms_swift),
    ("litgpt", "litgpt", litgpt),
    ("torchtune", "torchtune", torchtune),
)


def main(bits: str, fractions: str, exports: str, *only: str) -> int:
    torch.set_num_threads(1)
    whole, soft = list(tokensieve.open_run(bits)), list(tokensieve.open_run(fractions))
    failed = False
    for name, package, check in TRAINERS:
        if only and name not in only:
            continue
        try:
            found = "" if package is None else version(package)
        except PackageNotFoundError:
            found = "absent"
        try:
            result = check(whole, soft, exports)
        except ImportError as error:
            result = f"not run: {type(error).__name__}: {str(error).splitlines()[0]}"
        except Exception as error:  # every trainer gets its line
            result, failed = f"FAILED: {type(error).__name__}: {error}", True
        print(f"| {name} | {found} | {result} |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
