"""
Rows for PyTorch: an IterableDataset over a run's folder, for any number of loader workers and ranks, exactly resumable.

The stream of rows is that of `tokensieve train` (order.py). Cut into batches of `rows`, batch j is of rank j mod ranks: the
batches that all ranks take together at a step are one process's batches of that step.
"""

from __future__ import annotations

import copy
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info
from torch.utils.data.dataloader import _BaseDataLoaderIter

from . import sequences
from .collators import check_collator, check_unbatched, collator_asking
from .errors import TokensieveError
from .losses import IGNORE
from .order import OrderRules, Window, rows_of_window, windows_from
from .parcel import Parcel
from .place import Place
from .run import Run, open_run
from .shares import Share, share_of_process

Item = dict[str, Tensor]
Labels = Literal["kept", "eligible"]
_STATE_VERSION = 2


@dataclass
class _OfWorker:
    """Where a loader worker is: the pass, and the number of its next batch of the rank's."""

    epoch: int
    next: int
    worker: int
    workers: int
    is_loaded: bool = False


class SelectiveDataset(IterableDataset[Item]):
    """
    Batches of `rows` rows; use it with `DataLoader(dataset, batch_size=None, num_workers=…)`. With `rows=None` single
    rows without padding, for a loader that batches by itself (`pad_rows` is its collate function).

    A batch, [rows, tokens] each:
      input_ids       int64, 0 in padding
      labels          int64, the id where the token is a target, else -100 (see `labels`). Not shifted
      loss_weights    float32; the stored weights, 1 for every target in scored files, 0 where no target
      reference_loss  float32 nats, NaN where no target; where the files have it
      position_ids    int64, with attention `within`: restart at each document
      document_ids    int64, with attention `within`: index of the document in its row; padding is one of its own

    No attention mask is needed across documents: padding is at a row's end, and nothing before it looks there.

    `shuffle_tokens`: rows are shuffled among about so many tokens, which are in memory together (files without
    compression are memory-mapped and cost none); 0 keeps the files' order.
    `labels`: "kept" leaves out targets of weight 0 too, so that a trainer that knows labels alone trains on what was selected:
    so by default for weighted files. "eligible" has every target: what live selection ranks, and what weights of `dft` are
    divided by (the default for these; a SelectiveTrainer asks for them by itself). Fractions are in `loss_weights` only.
    Single rows are refused to a loader whose collator drops what they are trained by (`columns-dropped`: positions of documents that
    do not see each other, weights that labels do not say) or makes labels of its own, as collators of many trainers do.
    `epochs`: passes over the data of one iteration; None never ends. Each iteration goes on with the next passes.
    `check`: files are held against their manifests' sha256 when they are first read.
    `pad_to`: "length" for the longest row that the files may have (equal shapes), "longest" of the batch, or a number.
    `rank`, `ranks`: this process's share; those of torch.distributed by default, where it is initialised.

    Every rank yields the same number of batches: where the rows do not go round, the last ones are without a target.

    Iterations: the first is pass 0, the next one pass 1, in its own order; `set_epoch` chooses. One that is broken off is gone
    on with by the next, where the loop was, whatever workers had read ahead (where rows are batched or pinned by others, the
    pass begins again); after one batch alone, a look, the next begins where that one began.

    Resuming: `state_dict` says which batch is next and `load_state_dict` goes there, without reading what comes before;
    `state_after(batches)` is the state after so many batches of the loop. torchdata's StatefulDataLoader works too.
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
        labels: Labels | None = None,
        check: bool = True,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.run = folder if isinstance(folder, Run) else open_run(folder, check=check, storage_options=storage_options)
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
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise TokensieveError(
                    "bad-settings", f"{name} is {value!r}; expected a whole number of at least {least}"
                )
        if labels not in (None, "kept", "eligible"):
            raise TokensieveError("bad-settings", f"labels is {labels!r}; expected kept or eligible")
        if (rank is None) != (ranks is None):
            raise TokensieveError("bad-settings", "rank and ranks: give both or neither")
        if rank is not None and ranks is not None and not 0 <= rank < ranks:
            raise TokensieveError("bad-settings", f"rank is {rank} of {ranks}; expected 0 to {ranks - 1}")
        self.rows = rows
        self.rules = OrderRules(seed=seed, window_tokens=shuffle_tokens)
        self.epochs = epochs
        self.pad_to = pad_to
        self.labels = labels
        self._share = None if rank is None or ranks is None else Share(rank, ranks)
        self._place = Place(self._length)
        #: Of a loader worker: where it is itself.
        self._own: _OfWorker | None = None

    def __repr__(self) -> str:
        rows = "single rows" if self.rows is None else f"batches of {self.rows} rows"
        passes = "without an end" if self.epochs is None else f"{self.epochs} passes an iteration"
        return f"<SelectiveDataset of {self.run!r}: {rows}, labels {self._labels()}, {passes}, seed {self.rules.seed}>"

    def with_rows(self, rows: int) -> SelectiveDataset:
        """The same rows, `rows` a batch, from the start."""
        found = copy.copy(self)
        found.rows, found._own = rows, None
        found._place = Place(found._length)
        return found

    def _labels(self) -> Labels:
        if self.labels is not None:
            return self.labels
        return "kept" if self.run.kind == "weighted" and self.run.normaliser == "weights" else "eligible"

    @property
    def share(self) -> tuple[int, int]:
        """(rank, ranks)"""
        found = self._share_now()
        return found.rank, found.ranks

    def _share_now(self) -> Share:
        return share_of_process() if self._share is None else self._share

    def set_epoch(self, epoch: int) -> None:
        """
        The next iteration is pass `epoch` (of `epochs` each), from its start: what a DistributedSampler's does, and called by
        accelerate, transformers and Lightning. Nothing where a loaded state says where to go on, or there is no end.
        """
        # Refuses here what accelerate could not share.
        self._share_now()
        if self.epochs is not None:
            self._place.set_epoch(epoch)

    def __len__(self) -> int:
        """
        Batches (or rows) of this rank in an iteration, whatever of it was taken. TypeError where there is no end.

        For a loader that `accelerator.prepare` made, those of all ranks: it divides them.
        """
        if self.epochs is None:
            raise TypeError("a data set without an end has no length")
        return self._length_of(self._share_now(), 1)

    def _length_of(self, share: Share, workers: int) -> int:
        unit = share.ranks * share.multiple * (workers if share.multiple > 1 else 1)
        return -(-self._items() // unit) * unit // share.ranks

    def _length(self) -> int | None:
        return None if self.epochs is None else self._length_of(self._share_now(), 1)

    def _items(self) -> int:
        """Batches of all ranks together in an iteration, without those that make the ranks equal."""
        assert self.epochs is not None
        return -(-self.run.rows * self.epochs // (self.rows or 1))

    # --- position ---------------------------------------------------------------------------------------------

    def state_after(self, items: int) -> dict[str, Any]:
        """The state when the training loop has taken `items` batches of this rank since the very start."""
        length = self._length()
        return self._state(*((0, items) if length is None else divmod(items, length)))

    def _state(self, epoch: int, taken: int, worker: tuple[int, int] | None = None) -> dict[str, Any]:
        return {
            "version": _STATE_VERSION,
            "epoch": epoch,
            "next": taken,
            "worker": None if worker is None else list(worker),
            "rows": self.rows,
            "epochs": self.epochs,
            "ranks": self.share[1],
            "seed": self.rules.seed,
            "shuffle_tokens": self.rules.window_tokens,
            "data": self.run.fingerprint,
        }

    def state_dict(self) -> dict[str, Any]:
        """Where this process's loop is, or, in a loader worker, the worker: plain JSON."""
        if self._own is not None:
            return self._state(self._own.epoch, self._own.next, (self._own.worker, self._own.workers))
        length = self._length()
        epoch, taken = self._place.now()
        return self._state(epoch + 1, 0) if length is not None and taken >= length else self._state(epoch, taken)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """
        Goes on behind the batches that `state` had taken.

        Raises TokensieveError `bad-state` where data or settings are not those that the state was taken with.
        """
        expected = self._state(0, 0)
        # Version 1 knew no passes.
        known = {**state, "version": _STATE_VERSION, "epochs": self.epochs} if state.get("version") == 1 else state
        for name in ("version", "rows", "epochs", "ranks", "seed", "shuffle_tokens", "data"):
            if known.get(name) != expected[name]:
                raise TokensieveError(
                    "bad-state",
                    f"{self.run.folder}: state of {name} {state.get(name)!r}, here {expected[name]!r}; "
                    "go on with the data and settings that the run began with",
                )
        epoch, position = known.get("epoch", 0), known.get("next")
        if not isinstance(position, int) or position < 0 or not isinstance(epoch, int) or epoch < 0:
            raise TokensieveError(
                "bad-state",
                f"state's epoch and next are {epoch!r} and {position!r}; expected a pass and a number of batches",
            )
        worker = state.get("worker")
        if worker is None:
            self._own = None
            self._place.load(epoch, position)
        else:
            self._own = _OfWorker(epoch, position, int(worker[0]), int(worker[1]), is_loaded=True)

    def __getstate__(self) -> dict[str, Any]:
        # A spawned loader worker has no process group to ask.
        spawning = multiprocessing.context.get_spawning_popen() is not None
        return {**self.__dict__, "_share": self._share_now() if spawning else self._share}

    # --- reading ----------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Item]:
        """
        A pass: the next one after a pass that came to its end, the rest of one that was broken off, the same again after one of
        which a single batch was looked at.
        """
        info = get_worker_info()
        return self._iterate() if info is None else self._iterate_as_worker(info.id, info.num_workers)

    def _iterate(self) -> Iterator[Item]:
        if self._own is not None:
            raise TokensieveError(
                "bad-state",
                f"state of loader worker {self._own.worker} of {self._own.workers} in a loader without workers; "
                "resume with as many workers",
            )
        share = self._share_now()
        length = None if self.epochs is None else self._length_of(share, 1)
        loader = _loader_asking()
        epoch, at = self._place.begin()
        for taken, item in enumerate(self._stream(share, length, epoch, at, 1)):
            # A loader that batches single rows has taken none before its second batch.
            is_first = (taken if loader is None else loader._num_yielded) == 0
            self._place.take(epoch, at + taken + 1, is_first=is_first)
            yield item

    def _iterate_as_worker(self, worker: int, workers: int) -> Iterator[Item]:
        own = self._own
        if own is not None and own.is_loaded:
            if (own.worker, own.workers) != (worker, workers):
                raise TokensieveError(
                    "bad-state",
                    f"state of loader worker {own.worker} of {own.workers} in worker {worker} of {workers}; "
                    "resume with as many workers",
                )
            own.is_loaded = False
        else:
            # The loader asks its workers in turn, beginning with the first.
            epoch, start = self._place.start_of_worker(workers)
            own = self._own = _OfWorker(epoch, start + worker, worker, workers)
        share = self._share_now()
        length = None if self.epochs is None else self._length_of(share, workers)
        start = max(0, own.next - worker)
        for item in self._stream(share, length, own.epoch, own.next, workers):
            own.next += workers
            if self.rows is not None:
                item.origin = (self._place.token, own.epoch, start)
            yield item
        self._place.end_of_worker(worker, own.epoch)

    def _stream(self, share: Share, length: int | None, epoch: int, first: int, step: int) -> Iterator[Parcel]:
        """Every `step`-th batch (or row) of a rank's from `first` on, to the pass's end."""
        size = self.rows or 1
        per_pass = None if self.epochs is None else self.run.rows * self.epochs
        before = 0 if per_pass is None else epoch * per_pass
        stream = _Rows(self.run, self.rules, self._labels())
        self._check_collator()
        at = first
        while length is None or at < length:
            row = (at * share.ranks + share.rank) * size
            count = size if per_pass is None else max(0, min(size, per_pass - row))
            batch = [stream.take(before + row + index) for index in range(count)]
            at += step
            if self.rows is not None:
                yield self._pad(batch, size)
            else:
                yield Parcel(batch[0]) if batch else self._filler()

    def _check_collator(self) -> None:
        """Others batch single rows, and often know of no columns but their own."""
        collate = collator_asking()
        if collate is None:
            return
        if self.rows is not None:
            check_unbatched(collate, folder=self.run.folder)
            return
        says: Literal["all", "which", "nothing"] = "all"
        if self.run.kind == "weighted":
            says = "nothing" if self._labels() == "eligible" else "which" if self.run.has_fractions else "all"
        check_collator(collate, self._columns(), folder=self.run.folder, labels_say=says)

    def _filler(self) -> Parcel:
        """A row without a target."""
        return Parcel(
            {name: values[0] for name, values in pad_rows([], count=1, length=1, like=self._columns()).items()}
        )

    def _columns(self) -> tuple[str, ...]:
        within = ("position_ids", "document_ids") if self.run.attention == "within" else ()
        # The mean of a row on each of its tokens ranks rows, not tokens.
        has = "reference_loss" in self.run.columns and "reference_loss" not in self.run.means
        reference = ("reference_loss",) if has else ()
        return ("input_ids", "labels", "loss_weights", *reference, *within)

    def _pad(self, batch: list[Item], size: int) -> Parcel:
        longest = max((len(row["input_ids"]) for row in batch), default=1)
        length = {"length": self.run.length, "longest": longest}.get(str(self.pad_to), self.pad_to)
        assert isinstance(length, int)
        if longest > length:
            raise TokensieveError("row-too-long", f"{self.run.folder}: a row has {longest} ids; pad_to is {length}")
        return pad_rows(batch, count=size, length=length, like=self._columns())


#: Columns of a batch: type, and what stands in padding.
_PADDING: Mapping[str, tuple[torch.dtype, float]] = {
    "input_ids": (torch.int64, 0),
    "attention_mask": (torch.int64, 0),
    "labels": (torch.int64, IGNORE),
    "loss_weights": (torch.float32, 0.0),
    "reference_loss": (torch.float32, float("nan")),
    "position_ids": (torch.int64, 0),
    "document_ids": (torch.int64, 0),
}
_LAYOUT = tuple(_PADDING)


def pad_rows(
    rows: Sequence[Mapping[str, Any]],
    *,
    count: int | None = None,
    length: int | None = None,
    like: Sequence[str] | None = None,
) -> Parcel:
    """
    Rows of unequal length side by side, padded at their ends: a collate function.

    `rows` hold [tokens] tensors or lists by column; other columns than a SelectiveDataset's are left out. `count` rows
    (default: as many as there are) of `length` ids (default: the longest).
    """
    names = [name for name in (like or rows[0].keys()) if name in _PADDING]
    lengths = [len(row["input_ids"]) for row in rows]
    size = (len(rows) if count is None else count, max(lengths, default=1) if length is None else length)
    batch = Parcel.of(tuple((name, _PADDING[name][0], size) for name in sorted(names, key=_LAYOUT.index)))
    for name, filled in batch.items():
        filled.fill_(_PADDING[name][1])
        for index, row in enumerate(rows):
            values = torch.as_tensor(row[name])
            filled[index, : len(values)] = values
            if name == "document_ids" and len(values):
                # Padding is a document of its own.
                filled[index, len(values) :] = int(values[-1]) + 1
    return batch


@dataclass
class _Loaded:
    window: Window
    order: Any
    batches: list[sequences.Batch]
    starts: Any

    def holds(self, place: int) -> bool:
        return self.window.first <= place < self.window.first + self.window.rows


def _loader_asking() -> Any:
    """The iterator of torch's loader, in this process, that asks for rows; None for a loop of its own."""
    frame = sys._getframe(1).f_back
    for _ in range(32):
        if frame is None:
            return None
        asking = frame.f_locals.get("self")
        if isinstance(asking, _BaseDataLoaderIter):
            return asking
        frame = frame.f_back
    return None


class _Rows:
    """The stream of rows from any place on. In memory is one window, and of it what was asked for."""

    def __init__(self, run: Run, rules: OrderRules, labels: Labels) -> None:
        self.run, self.rules, self.labels = run, rules, labels
        self._sizes = [(part.sequences, part.tokens) for part in run.parts]
        self._per_epoch = run.rows
        self._loaded: _Loaded | None = None

    def take(self, at: int) -> Item:
        """Row `at` of the endless stream."""
        epoch, place = divmod(at, self._per_epoch)
        loaded = self._loaded
        if loaded is None or loaded.window.epoch != epoch or not loaded.holds(place):
            loaded = self._load(at)
        row = int(loaded.order[place - loaded.window.first])
        index = int(np.searchsorted(loaded.starts, row, side="right")) - 1
        found = loaded.batches[index].row(row - int(loaded.starts[index]))
        return _tensors(found, self.run.attention, self.run.means, self.labels)

    def _load(self, at: int) -> _Loaded:
        """The window of row `at`."""
        self._loaded = None
        window, _ = next(windows_from(self._sizes, self.rules, at))
        batches = [batch for part in window.parts for batch in self._part(part)]
        starts = np.cumsum([0, *(len(batch) for batch in batches)])[:-1]
        self._loaded = _Loaded(window, rows_of_window(window, self.rules), batches, starts)
        return self._loaded

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


def _tensors(row: sequences.Sequence, attention: str, means: frozenset[str], labels: Labels) -> Item:
    eligible = row.eligible
    ids = row.input_ids.astype(np.int64)
    weight = np.ones(len(ids), np.float32) if row.weight is None else row.weight
    item = {
        "input_ids": torch.from_numpy(ids),
        "labels": torch.from_numpy(np.where(eligible & (weight > 0) if labels == "kept" else eligible, ids, IGNORE)),
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
