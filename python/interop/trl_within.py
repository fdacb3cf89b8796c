"""
Documents that do not see each other in TRL's SFTTrainer: its loss of two steps against the losses that scoring stored.

    tokensieve export RUN --to hf --out exports/apart
    tokensieve export RUN --to hf --documents together --add seq_lengths --out exports/together
    PYTHONPATH=python/src python python/interop/trl_within.py RUN exports/apart exports/together CURRENT_MODEL

RUN is weighted, of attention `within`; CURRENT_MODEL is the model that its current losses are of, so that the trainer's loss at rate 0
must be their mean over what is kept. Four ways that keep documents apart, and one that does not and must differ.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import datasets
import numpy as np
import torch
import transformers
import trl

import tokensieve

STEPS, ROWS, ACCUMULATE = 2, 4, 2


def losses_of_documents(run: str) -> dict[bytes, Any]:
    """By the ids of a document's piece in a row: the stored losses of what is kept."""
    found = {}
    for row in tokensieve.open_run(run):
        assert row.weight is not None
        ends = np.cumsum(row.segments.token_count)
        for start, end in zip(row.segments.token_start, ends):
            kept = row.weight[start:end] > 0
            ids = row.input_ids[start:end].astype(np.int64).tobytes()
            found[ids] = row.losses["current_loss"][start:end][kept].astype(np.float64)
    return found


def pieces_of(batch: dict[str, torch.Tensor], is_together: bool, scored: dict[bytes, Any]) -> list[Any]:
    """Of each document of a batch its stored losses; without positions in the batch they are looked for in the rows' ids."""
    found = []
    for index, ids in enumerate(batch["input_ids"].numpy()):
        positions = batch.get("position_ids")
        starts = [0] if positions is None else [0, *(np.flatnonzero(positions[index].numpy()[1:] == 0) + 1)]
        if is_together and positions is None:
            starts = list(range(len(ids)))
        at = 0
        for start, end in zip(starts, [*starts[1:], len(ids)]):
            if start < at:
                continue
            for last in range(len(ids) if is_together and positions is None else end, start, -1):
                own = scored.get(ids[start:last].tobytes())
                if own is not None:
                    found.append(own)
                    at = last
                    break
    return found


def steps(model: str, exported: str, scored: dict[bytes, Any], **settings: Any) -> tuple[list[float], list[float]]:
    """Losses of the trainer's steps, and by hand."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    tokenizer.pad_token = tokenizer.eos_token
    by_hand: list[float] = []

    class Watched(trl.SFTTrainer):  # type: ignore[misc]
        def get_batch_samples(self, iterator: Any, count: int, device: Any) -> Any:
            samples, items = super().get_batch_samples(iterator, count, device)
            if samples:
                own = [piece for batch in samples for piece in pieces_of(batch, "together" in exported, scored)]
                by_hand.append(float(np.concatenate(own).mean()))
            return samples, items

    with tempfile.TemporaryDirectory() as out:
        trainer = Watched(
            model=transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            args=trl.SFTConfig(
                output_dir=out,
                per_device_train_batch_size=ROWS,
                gradient_accumulation_steps=ACCUMULATE,
                max_steps=STEPS,
                learning_rate=0.0,
                logging_steps=1,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                use_cpu=True,
                bf16=False,
                **settings,
            ),
            train_dataset=datasets.load_from_disk(exported)["train"],
            processing_class=tokenizer,
        )
        trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], by_hand


def main(run: str, apart: str, together: str, model: str) -> None:
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    datasets.disable_progress_bars()
    scored = losses_of_documents(run)
    as_it_is = {"max_length": None, "dataset_kwargs": {"skip_prepare_dataset": True}}
    for name, exported, settings in (
        ("apart", apart, as_it_is),
        ("apart, prepared by TRL", apart, {"max_length": None}),
        ("apart, packed by TRL", apart, {"max_length": 256, "packing": True}),
        ("apart, padding_free", apart, {**as_it_is, "padding_free": True}),
        ("together, seq_lengths, padding_free", together, {**as_it_is, "padding_free": True}),
        ("together (documents see each other)", together, as_it_is),
    ):
        found, by_hand = steps(model, exported, scored, **settings)
        distance = max(abs(a - b) for a, b in zip(found, by_hand))
        print(f"{name}: {found}, stored {[round(loss, 6) for loss in by_hand]}, {distance:.1e} apart", flush=True)
        if "see each other" in name:
            assert distance > 1e-4, "positions were dropped, and it made no difference: the check checks nothing"
        else:
            assert distance < 2e-5, name
    print(", ".join(f"{used.__name__} {used.__version__}" for used in (trl, transformers, torch, datasets)))


if __name__ == "__main__":
    main(*sys.argv[1:])
