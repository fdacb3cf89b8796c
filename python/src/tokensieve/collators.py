"""What a loader's collator makes of single rows: whether what they are trained by reaches the loop."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data._utils.fetch import _IterableDatasetFetcher

from .errors import TokensieveError

Collator = Callable[[list[dict[str, Tensor]]], Any]

#: Two rows of two documents each. Labels leave out a target; weights are fractions; positions restart.
_PROBE: tuple[Mapping[str, Tensor], ...] = tuple(
    {
        "input_ids": torch.arange(5, 5 + length),
        "labels": torch.tensor([-100, 6, -100, -100, 9, 10, 11][:length]),
        "loss_weights": torch.tensor([0.0, 0.5, 0.0, 0.0, 0.25, 0.75, 0.5][:length]),
        "reference_loss": torch.tensor([float("nan"), 1.5, 2.5, float("nan"), 0.5, 3.5, 4.5][:length]),
        "position_ids": torch.tensor([0, 1, 2, 0, 1, 2, 3][:length]),
        "document_ids": torch.tensor([0, 0, 0, 1, 1, 1, 1][:length]),
    }
    for length in (7, 6)
)


def collator_asking() -> Collator | None:
    """The collate function of torch's loader, in this process or a worker of its, that asks for single rows; None of other loops."""
    frame = sys._getframe(1).f_back
    for _ in range(32):
        if frame is None:
            return None
        asking = frame.f_locals.get("self")
        if isinstance(asking, _IterableDatasetFetcher):
            return asking.collate_fn if asking.auto_collation else None
        frame = frame.f_back
    return None


def check_collator(
    collate: Collator, columns: Sequence[str], *, folder: str, labels_say: Literal["all", "which", "nothing"]
) -> None:
    """
    Refuses a collator that makes a model's batches without what the rows are to be trained by: of trainers that drop the columns
    that they do not know, or make labels of their own.

    `columns` of the rows. `labels_say`: of the stored weights, all, which are above 0 (where fractions are lost, that is a warning),
    or nothing. What makes no batch with `input_ids` is not looked at.

    Raises TokensieveError `columns-dropped`.
    """
    rows = [{name: values.clone() for name, values in row.items() if name in columns} for row in _PROBE]
    try:
        with torch.random.fork_rng(devices=[]):
            batch = collate(rows)
    except Exception:
        # It wants other rows than these; of its own ones it will say so itself.
        return
    if not isinstance(batch, Mapping) or "input_ids" not in batch:
        return
    problem = _problem(batch, columns)
    values = [value for value in batch.values() if isinstance(value, Tensor)]
    if labels_say != "all" and not any(
        _carries(value, name) for value in values for name in ("loss_weights", "reference_loss")
    ):
        lost = f"{folder}: the loader's collator ({_name(collate)}) drops loss_weights"
        if labels_say == "nothing":
            problem = problem or "drops loss_weights, and labels are of every target"
        elif problem is None:
            warnings.warn(f"{lost}, which are fractions: every token of weight above 0 is learnt alike", stacklevel=2)
    if problem is not None:
        raise TokensieveError(
            "columns-dropped",
            f"{folder}: the loader's collator ({_name(collate)}) {problem}; give data_collator=tokensieve.pad_rows and "
            "keep its columns (remove_unused_columns=False, or a SelectiveTrainer or SelectiveLossMixin)",
        )


def check_unbatched(collate: Collator, *, folder: str) -> None:
    """
    Refuses a loader that makes batches of batches: three dimensions, which no model takes.

    Raises TokensieveError `batched-twice`.
    """
    rows = {name: torch.stack([row[name][:6] for row in _PROBE]) for name in ("input_ids", "labels")}
    try:
        batch = collate([rows, {name: values.clone() for name, values in rows.items()}])
    except Exception:
        return
    ids = batch.get("input_ids") if isinstance(batch, Mapping) else None
    if isinstance(ids, Tensor) and ids.dim() > 2:
        raise TokensieveError(
            "batched-twice",
            f"{folder}: the loader batches the data set's batches again; give the loader batch_size=None, or make the data set "
            "with rows=None and the loader with collate_fn=tokensieve.pad_rows (a Trainer: data_collator)",
        )


def _problem(batch: Mapping[str, Any], columns: Sequence[str]) -> str | None:
    values = [value for value in batch.values() if isinstance(value, Tensor)]
    labels = batch.get("labels")
    if isinstance(labels, Tensor):
        wanted = torch.cat([row["labels"] for row in _PROBE])
        # Shifted by some loops, and -1 where no target in others.
        if not torch.equal(labels.flatten()[labels.flatten() >= 0], wanted[wanted >= 0]):
            return "makes labels of its own, by which every token would be learnt"
    if (
        "position_ids" in columns
        and not any(_carries(value, name) for value in values for name in ("position_ids", "document_ids"))
        # An attention mask of documents.
        and not any(value.dim() > 2 for value in values)
    ):
        return "drops position_ids, without which documents of a row see each other"
    return None


def _carries(value: Tensor, name: str) -> bool:
    """Whether a tensor of a batch has a column's values: [rows, tokens] padded, shifted or not, or one row after the other."""
    wanted = [row[name] for row in _PROBE]
    flat = torch.cat(wanted)
    if _same(value.flatten()[: len(flat)], flat):
        return True
    if value.dim() != 2 or len(value) != len(wanted):
        return False
    return any(
        all(_same(found[: len(row) - 1], row[at : at + len(row) - 1]) for found, row in zip(value, wanted))
        for at in (0, 1)
    )


def _same(found: Tensor, wanted: Tensor) -> bool:
    return found.shape == wanted.shape and torch.allclose(found.double(), wanted.double(), equal_nan=True)


def _name(collate: Any) -> str:
    inner = getattr(collate, "data_collator", None)
    name = getattr(collate, "__qualname__", type(collate).__name__)
    return name if inner is None else f"{name} of {_name(inner)}"
