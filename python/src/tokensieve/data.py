"""
Rows for PyTorch: an IterableDataset over a run's folder, for any number of loader workers and ranks, exactly resumable.

The stream of rows is that of `tokensieve train` (order.py). Cut into batches of `rows`, batch j is of rank j mod ranks: the
batches that all ranks take together at a step are one process's batches of that step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from . import sequences
from .errors import TokensieveError
from .losses import IGNORE
from .order import OrderRules, Window, rows_of_window, windows_from
from .run import Run, open_run

Item = dict[str, Tensor]
_STATE_VERSION = 1


class SelectiveDataset(IterableDataset[Item]):
    """
    Batches of `rows` rows; use it with `DataLoader(dataset, batch_size=None, num_workers=…)`. With `rows=None` single
    rows without padding, for a loader that batches by itself (`pad_rows` is its collate function).

    A batch, [rows, tokens] each:
      input_ids       int64, 0 in padding
      labels          int64, the id where the token is a target, else -100. Not shifted
      loss_weights    float32; the stored weights, 1 for every target in scored files, 0 where no target
      reference_loss  float32 nats, NaN where no target; where the files have it
      position_ids    int64, with attention `within`: restart at each document
      document_ids    int64, with attention `within`: index of the document in its row; padding is one of its own

    No attention mask is needed across documents: padding is at a row's end, and nothing before it looks there.

    `shuffle_tokens`: rows are shuffled among about so many tokens, which are in memory together (files without
    compression are memory-mapped and cost none); 0 keeps the files' order.
    `epochs`: passes over the data; None never ends.
    `pad_to`: "length" for the longest row that the files may have (equal shapes), "longest" of the batch, or a number.
    `rank`, `ranks`: this process's share; those of torch.distributed by default, where it is initialised.

    Every rank yields the same number of batches: where the rows do not go round, the last ones are without a target.

    Resuming: `state_dict` says which batch is next and `load_state_dict` goes there, without reading what comes before.
    With loader workers the loader is ahead of the training loop: use torchdata's StatefulDataLoader, which asks the
    workers, or `state_after(batches)` with the number of batches that the loop has taken.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | Run,
        *,
        rows: int | None = 8,
        seed: int = 0,
        shuffle_tokens: int = 16 * 2**20,
        epochs: int | None = 1,
        pad_to: int | Literal["length", "longest"] = "length",
        rank: int | None = None,
        ranks: int | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.run = folder if isinstance(folder, Run) else open_run(folder, storage_options=storage_options)
        if self.run.rows == 0 or self.run.targets == 0:
            raise TokensieveError(
                "no-targets",
                f"{self.run.folder}: {self.run.rows} rows with {self.run.targets} targets: nothing to learn from",
            )
        for name, value, least in (
            ("rows", 1 if rows is None else rows, 1),
            ("seed", seed, 0),
            ("shuffle_tokens", shuffle_tokens, 0),
            ("epochs", 1 if epochs is None else epochs, 1),
        ):
            if value < least:
                raise TokensieveError("bad-settings", f"{name} is {value}; expected at least {least}")
        if (rank is None) != (ranks is None):
            raise TokensieveError("bad-settings", "rank and ranks: give both or neither")
        if rank is not None and ranks is not None and not 0 <= rank < ranks:
            raise TokensieveError("bad-settings", f"rank is {rank} of {ranks}; expected 0 to {ranks - 1}")
        self.rows = rows
        self.rules = OrderRules(seed=seed, window_tokens=shuffle_tokens)
        self.epochs = epochs
        self.pad_to = pad_to
        self._share = None if rank is None or ranks is None else (rank, ranks)
        self._next = 0
        #: (worker, workers) that `_next` belongs to, where a worker's own state was loaded.
        self._worker: tuple[int, int] | None = None

    @property
    def share(self) -> tuple[int, int]:
        """(rank, ranks)"""
        if self._share is not None:
            return self._share
        import torch.distributed as dist

        if dist.is_available() and dist.is_initialized():
            return dist.get_rank(), dist.get_world_size()
        return 0, 1

    def __len__(self) -> int:
        """Batches (or rows) of this rank over all epochs. TypeError where there is no end."""
        if self.epochs is None:
            raise TypeError("a data set without an end has no length")
        _, ranks = self.share
        return -(-self._items() // ranks)

    def _items(self) -> int:
        """Batches of all ranks together, without those that make the ranks equal. A batch may hold rows of two epochs."""
        assert self.epochs is not None
        return -(-self.run.rows * self.epochs // (self.rows or 1))

    # --- position ---------------------------------------------------------------------------------------------

    def state_after(self, items: int) -> dict[str, Any]:
        """The state when the training loop has taken `items` batches of this rank since the very start."""
        return {
            "version": _STATE_VERSION,
            "next": items,
            "worker": None,
            "rows": self.rows,
            "ranks": self.share[1],
            "seed": self.rules.seed,
            "shuffle_tokens": self.rules.window_tokens,
            "data": self.run.fingerprint,
        }

    def state_dict(self) -> dict[str, Any]:
        """Where this process (or loader worker) is: plain JSON."""
        return {**self.state_after(self._next), "worker": None if self._worker is None else list(self._worker)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """
        Goes on behind the batches that `state` had taken.

        Raises TokensieveError `bad-state` where data or settings are not those that the state was taken with.
        """
        expected = self.state_after(0)
        for name in ("version", "rows", "ranks", "seed", "shuffle_tokens", "data"):
            if state.get(name) != expected[name]:
                raise TokensieveError(
                    "bad-state",
                    f"{self.run.folder}: state of {name} {state.get(name)!r}, here {expected[name]!r}; "
                    "go on with the data and settings that the run began with",
                )
        position = state.get("next")
        if not isinstance(position, int) or position < 0:
            raise TokensieveError("bad-state", f"state's next is {position!r}; expected a number of batches")
        worker = state.get("worker")
        self._next = position
        self._worker = None if worker is None else (int(worker[0]), int(worker[1]))

    # --- reading ----------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Item]:
        """From the position on; the position moves with it, and is the start again at the end."""
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        if self._worker is not None and self._worker != (worker, workers):
            raise TokensieveError(
                "bad-state",
                f"state of loader worker {self._worker[0]} of {self._worker[1]} in worker {worker} of {workers}; "
                "resume with as many workers",
            )
        if info is not None and self._worker is None:
            # The loader asks its workers in turn, beginning with the first.
            self._next += worker
            self._worker = (worker, workers)
        rank, ranks = self.share
        size = self.rows or 1
        total = None if self.epochs is None else self._items()
        length = None if total is None else -(-total // ranks)
        rows_left = None if self.epochs is None else self.run.rows * self.epochs
        stream: _Rows | None = None
        while length is None or self._next < length:
            item = self._next * ranks + rank
            if stream is None:
                stream = _Rows(self.run, self.rules, item * size)
            first = item * size
            count = size if rows_left is None else max(0, min(size, rows_left - first))
            stream.move_to(first)
            batch = [stream.take() for _ in range(count)]
            self._next += workers
            if self.rows is not None:
                yield self._pad(batch, size)
            else:
                yield batch[0] if batch else self._filler()
        self._next = 0 if info is None else worker
        if info is not None:
            self._worker = (worker, workers)

    def _filler(self) -> Item:
        """A row without a target."""
        return {name: values[0] for name, values in pad_rows([], count=1, length=1, like=self._columns()).items()}

    def _columns(self) -> tuple[str, ...]:
        within = ("position_ids", "document_ids") if self.run.attention == "within" else ()
        # The mean of a row on each of its tokens ranks rows, not tokens.
        has = "reference_loss" in self.run.columns and "reference_loss" not in self.run.means
        reference = ("reference_loss",) if has else ()
        return ("input_ids", "labels", "loss_weights", *reference, *within)

    def _pad(self, batch: list[Item], size: int) -> Item:
        longest = max((len(row["input_ids"]) for row in batch), default=1)
        length = {"length": self.run.length, "longest": longest}.get(str(self.pad_to), self.pad_to)
        assert isinstance(length, int)
        if longest > length:
            raise TokensieveError("row-too-long", f"{self.run.folder}: a row has {longest} ids; pad_to is {length}")
        return pad_rows(batch, count=size, length=length, like=self._columns())


_PADDING: Mapping[str, float] = {
    "input_ids": 0,
    "labels": IGNORE,
    "loss_weights": 0.0,
    "reference_loss": float("nan"),
    "position_ids": 0,
}


def pad_rows(
    rows: Sequence[Mapping[str, Any]],
    *,
    count: int | None = None,
    length: int | None = None,
    like: Sequence[str] | None = None,
) -> Item:
    """
    Rows of unequal length side by side, padded at their ends: a collate function.

    `rows` hold [tokens] tensors or lists by column; other columns than a SelectiveDataset's are left out. `count` rows
    (default: as many as there are) of `length` ids (default: the longest).
    """
    names = [name for name in (like or rows[0].keys()) if name in _PADDING or name == "document_ids"]
    lengths = [len(row["input_ids"]) for row in rows]
    size = (len(rows) if count is None else count, max(lengths, default=1) if length is None else length)
    batch: Item = {}
    for name in names:
        kind = torch.float32 if name in ("loss_weights", "reference_loss") else torch.int64
        filled = torch.full(size, _PADDING.get(name, 0), dtype=kind)
        for index, row in enumerate(rows):
            values = torch.as_tensor(row[name])
            filled[index, : len(values)] = values
            if name == "document_ids" and len(values):
                # Padding is a document of its own.
                filled[index, len(values) :] = int(values[-1]) + 1
        batch[name] = filled
    return batch


@dataclass
class _Loaded:
    window: Window
    order: Any
    batches: list[sequences.Batch]
    starts: Any


class _Rows:
    """The stream of rows from any place on. In memory is one window, and of it what was asked for."""

    def __init__(self, run: Run, rules: OrderRules, at: int) -> None:
        self.run, self.rules, self.at = run, rules, at
        self._sizes = [(part.sequences, part.tokens) for part in run.parts]
        self._per_epoch = run.rows
        self._loaded: _Loaded | None = None

    def move_to(self, at: int) -> None:
        self.at = at

    def take(self) -> Item:
        epoch, place = divmod(self.at, self._per_epoch)
        window = None if self._loaded is None else self._loaded.window
        if window is None or window.epoch != epoch or not window.first <= place < window.first + window.rows:
            self._load()
        loaded = self._loaded
        assert loaded is not None
        row = int(loaded.order[place - loaded.window.first])
        index = int(np.searchsorted(loaded.starts, row, side="right")) - 1
        self.at += 1
        return _tensors(loaded.batches[index].row(row - int(loaded.starts[index])), self.run.attention, self.run.means)

    def _load(self) -> None:
        """The window of row `at`."""
        self._loaded = None
        window, _ = next(windows_from(self._sizes, self.rules, self.at))
        batches = [batch for part in window.parts for batch in self._part(part)]
        starts = np.cumsum([0, *(len(batch) for batch in batches)])[:-1]
        self._loaded = _Loaded(window, rows_of_window(window, self.rules), batches, starts)

    def _part(self, index: int) -> list[sequences.Batch]:
        part = self.run.parts[index]
        batches = list(self.run.part_batches(index))
        longest = max((int(np.diff(batch.offsets).max()) for batch in batches if len(batch)), default=0)
        shortest = min((int(np.diff(batch.offsets).min()) for batch in batches if len(batch)), default=1)
        if longest > self.run.length or shortest < 1:
            raise TokensieveError(
                "bad-row", f"{part.file}: has rows of {shortest} to {longest} ids; expected 1 to {self.run.length}"
            )
        return batches


def _tensors(row: sequences.Sequence, attention: str, means: frozenset[str]) -> Item:
    eligible = row.eligible
    ids = row.input_ids.astype(np.int64)
    weight = np.ones(len(ids), np.float32) if row.weight is None else row.weight
    item = {
        "input_ids": torch.from_numpy(ids),
        "labels": torch.from_numpy(np.where(eligible, ids, IGNORE)),
        "loss_weights": torch.from_numpy(np.where(eligible, weight, 0).astype(np.float32)),
    }
    reference = row.losses.get("reference_loss")
    if reference is not None and "reference_loss" not in means:
        item["reference_loss"] = torch.from_numpy(np.where(eligible, reference.astype(np.float32), np.float32("nan")))
    if attention == "within":
        counts = row.segments.token_count
        starts = np.repeat(row.segments.token_start, counts)
        item["position_ids"] = torch.from_numpy(np.arange(len(ids), dtype=np.int64) - starts)
        item["document_ids"] = torch.from_numpy(np.repeat(np.arange(len(counts), dtype=np.int64), counts))
    return item
