"""
megatron-core's GPTDataset with token weights: loss_mask × the weight of each label, fractions too.

    tokensieve export RUN --to megatron --out exports/megatron        (weights of float32 beside the ids)
    python megatron_weights.py exports/megatron                       (checks the samples of a small data set against the files)

GPTDataset joins what it reads as int64, in which fractions are lost: the weights are read as the integers that their bits are.
Megatron's loss is Σ loss_mask · L / Σ loss_mask over a micro-batch. Tried with megatron-core 0.16.1.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
from megatron.core.datasets.indexed_dataset import IndexedDataset
from megatron.core.datasets.utils import Split


class _AsBits:
    """Indexed weights whose float32 are given as the int32 of the same bits."""

    def __init__(self, weights: Any) -> None:
        self._weights = weights
        self.sequence_lengths = weights.sequence_lengths

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self._weights.get(*args, **kwargs).view(np.int32)


class WeightedGPTDataset(GPTDataset):  # type: ignore[misc]
    """`weights`: the IndexedDataset beside the ids, `…_weights`."""

    weights: Any = None

    def __getitem__(self, index: int | None) -> dict[str, torch.Tensor]:
        item: dict[str, torch.Tensor] = super().__getitem__(index)
        ids, self.dataset = self.dataset, _AsBits(self.weights)
        try:
            bits, _ = self._query_document_sample_shuffle_indices(0 if index is None else index)
        finally:
            self.dataset = ids
        weight = torch.from_numpy(bits.astype(np.int32).view(np.float32)[1:].copy())
        # What stands for padding in bits is no weight.
        item["loss_mask"] = torch.where(item["loss_mask"] > 0, item["loss_mask"] * weight, 0.0)
        return item


class _Tokenizer:
    unique_identifiers = {"class": "recipe"}  # noqa: RUF012
    eod, pad = 1, -1

    def __init__(self, vocabulary: int) -> None:
        self.vocab_size = vocabulary


def check(folder: Path, length: int = 256, samples: int = 50) -> int:
    ids, weights = (IndexedDataset(str(folder / "data" / name)) for name in ("tokens_document", "tokens_weights"))
    config = GPTDatasetConfig(
        random_seed=1,
        sequence_length=length,
        split="1,0,0",
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
        tokenizer=_Tokenizer(1 << 20),
        path_to_cache=tempfile.mkdtemp(),
        create_attention_mask=False,
    )
    documents = np.arange(len(ids), dtype=np.int32)
    data = WeightedGPTDataset(ids, str(folder / "data" / "tokens_document"), documents, samples, Split.train, config)
    data.weights = weights
    # By hand: the stream of documents in the data set's order, cut at its samples.
    order = data.document_index
    stream = np.concatenate([ids[int(d)] for d in order])
    weight = np.concatenate([weights[int(d)] for d in order])
    places = {int(sample): at for at, sample in enumerate(data.shuffle_index)}
    checked = 0
    for sample in range(min(samples, len(places))):
        item, at = data[places[sample]], sample * length
        if at + length + 1 > len(stream):
            continue
        assert (item["labels"].numpy() == stream[at + 1 : at + 1 + length]).all(), sample
        assert (item["loss_mask"].numpy() == weight[at + 1 : at + 1 + length]).all(), sample
        checked += length
    assert checked > 0
    return checked


if __name__ == "__main__":
    print(f"{check(Path(sys.argv[1]))} labels have the weights of the files")
