"""
Losses of any PyTorch model for `tokensieve import`: a run's rows, or texts, one process or many.

    score(model, None, "runs/packed", "losses")        then  tokensieve import runs/packed --losses losses …
    score(model, tokenizer, texts, "losses")           then  … --per document

Everything is computed as it was packed: a row's tokens see what precedes them in the row, or in their document (attention
`within`, where each document of a row is a forward pass of its own, so that no model has to know of positions).
"""

from __future__ import annotations

import inspect
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from .errors import TokensieveError
from .losses import IGNORE, token_losses
from .run import Run, open_run
from .shares import share_of_process

#: Of a file: a list column of ids, one of nats, null where there is no loss; a row is a record of `import`.
_SCHEMA = pa.schema([("input_ids", pa.list_(pa.int32())), ("losses", pa.list_(pa.float32()))])


@dataclass(frozen=True)
class Scores:
    """What `score` wrote. In each process all of it is told but `mean`, which is over this process's records."""

    folder: str
    #: Parquet files, in the order of the records.
    files: tuple[str, ...]
    records: int
    #: "row" or "document": what a record is.
    per: str
    #: Nats a token.
    mean: float

    @property
    def flags(self) -> str:
        """What `tokensieve import RUN` is to be given."""
        return f"--losses '{self.folder}/losses-*.parquet' --per {self.per}"


@dataclass(frozen=True)
class _Record:
    ids: Any
    #: [pieces] Ids of each, that see one another and nothing else.
    pieces: tuple[int, ...]


def score(
    model: Any,
    tokenizer: Any,
    source: Run | str | os.PathLike[str] | Iterable[str],
    out: str | os.PathLike[str],
    *,
    rows: int = 8,
    file_records: int = 4096,
    eos: bool | None = None,
) -> Scores:
    """
    Writes −ln p of every token under `model`, as files that `tokensieve import` takes.

    `model`: gives logits for `input_ids` [rows, tokens], as transformers' do; wrapped by DistributedDataParallel, FSDP or an Accelerator too. Its mode
    is restored. `source`: a run (its folder or an open one, packed or scored), whose rows are the records, or texts, each a document; a
    folder's name is no text. `tokenizer`: of transformers, for texts; None will do for a run.

    Texts are encoded as the tokenizer does by itself (BOS where it adds one), and end with EOS where it has one, as `tokensieve pack`
    makes documents; `eos` says otherwise.

    `out` must be empty or not there. Files hold `file_records` records each, `losses-00000.parquet` and on, and appear when they are whole. Under
    torch.distributed file k is of rank k mod ranks; all ranks have to call, and the call ends when all files are there.

    Raises TokensieveError `out-not-empty`, `bad-settings`, `row-too-long`, `id-too-large`.
    """
    for name, value in (("rows", rows), ("file_records", file_records)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise TokensieveError("bad-settings", f"{name} is {value!r}; expected a whole number of at least 1")
    share = share_of_process()
    records: Sequence[str] | Run
    if isinstance(source, (Run, str, os.PathLike)):
        records, per = source if isinstance(source, Run) else open_run(source), "row"
        total = records.rows
    else:
        if tokenizer is None:
            raise TokensieveError("bad-settings", "texts are scored with their tokenizer; it is None")
        records, per = list(source), "document"
        total = len(records)
    folder = Path(out)
    if folder.exists() and any(folder.iterdir()):
        raise TokensieveError("out-not-empty", f"{folder}: holds files; name an empty folder, or remove them first")
    _wait(share.ranks)
    folder.mkdir(parents=True, exist_ok=True)
    sizes = [min(file_records, total - at) for at in range(0, total, file_records)]
    # Sharded models make every forward pass together: ranks with fewer repeat their last one for nothing.
    passes = _Passes(model, rows)
    sums = [0.0, 0]
    for number, own in _files(records, sizes, share.rank, share.ranks):
        encoded = [_encoded(record, tokenizer, eos) if isinstance(record, str) else record for record in own]
        losses = passes.losses(encoded)
        for found in losses:
            there = found[~np.isnan(found)]
            sums[0] += float(there.sum(dtype=np.float64))
            sums[1] += len(there)
        _write(folder / f"losses-{number:05d}.parquet", encoded, losses)
    passes.keep_company(share.ranks)
    _wait(share.ranks)
    mean = sums[0] / sums[1] if sums[1] else float("nan")
    if passes.vocabulary and mean > math.log(passes.vocabulary):
        warnings.warn(
            f"{folder}: the mean loss is {mean:.2f} nats, worse than guessing among {passes.vocabulary} ids ({math.log(passes.vocabulary):.2f}): "
            "is the run's tokenizer the model's?",
            stacklevel=2,
        )
    files = tuple(str(folder / f"losses-{number:05d}.parquet") for number in range(len(sizes)))
    return Scores(str(folder), files, total, per, mean)


def _files(
    records: Sequence[str] | Run, sizes: list[int], rank: int, ranks: int
) -> Iterator[tuple[int, list[str] | list[_Record]]]:
    """The records of this rank's files. Parts of a run in which there are none are not read."""
    starts = np.cumsum([0, *sizes])
    for number in range(rank, len(sizes), ranks):
        first, last = int(starts[number]), int(starts[number + 1])
        yield number, _rows(records, first, last) if isinstance(records, Run) else list(records[first:last])


def _rows(run: Run, first: int, last: int) -> list[_Record]:
    found: list[_Record] = []
    at = 0
    for index, part in enumerate(run.parts):
        if at + part.sequences > first and at < last:
            before = at
            for batch in run.part_batches(index):
                for row in range(max(0, first - before), min(len(batch), last - before)):
                    own = batch.row(row)
                    counts = tuple(int(count) for count in own.segments.token_count)
                    found.append(
                        _Record(own.input_ids.copy(), counts if run.attention == "within" else (len(own.input_ids),))
                    )
                before += len(batch)
        at += part.sequences
    return found


def _encoded(text: str, tokenizer: Any, eos: bool | None) -> _Record:
    ids = list(tokenizer(text)["input_ids"])
    end = tokenizer.eos_token_id
    if eos and end is None:
        raise TokensieveError("bad-settings", "eos is True, and the tokenizer has none")
    if eos is not False and end is not None and ids[-1:] != [end]:
        ids.append(end)
    return _Record(np.asarray(ids, np.int32), (len(ids),))


class _Passes:
    """Forward passes of a model, counted."""

    def __init__(self, model: Any, rows: int) -> None:
        self.model, self.rows = model, rows
        inner = model.module if hasattr(model, "module") else model
        config: Any = getattr(inner, "config", None)
        config = config.get_text_config() if hasattr(config, "get_text_config") else config
        self.longest: int | None = getattr(config, "max_position_embeddings", None)
        self.vocabulary: int | None = getattr(config, "vocab_size", None)
        self.takes = set(inspect.signature(inner.forward).parameters)
        self.device = next(model.parameters()).device
        self.made = 0

    def losses(self, records: Sequence[Any]) -> list[Any]:
        """[records] of [tokens] float32 nats, NaN at what has no context."""
        pieces = []
        for number, record in enumerate(records):
            if self.vocabulary is not None and len(record.ids) and int(record.ids.max()) >= self.vocabulary:
                raise TokensieveError(
                    "id-too-large",
                    f"record {number}: id {int(record.ids.max())}, and the model has {self.vocabulary}; is the tokenizer the model's?",
                )
            for start, length in zip(np.cumsum([0, *record.pieces]), record.pieces):
                if self.longest is not None and length > self.longest:
                    raise TokensieveError(
                        "row-too-long",
                        f"record {number}: {length} ids that see each other, and the model takes {self.longest}; score the rows of a run "
                        "that was packed for it",
                    )
                pieces.append((number, int(start), int(length)))
        found = [np.full(len(record.ids), np.nan, np.float32) for record in records]
        training = self.model.training
        self.model.eval()
        try:
            for at in range(0, len(pieces), self.rows):
                batch = pieces[at : at + self.rows]
                longest = max(length for _, _, length in batch)
                ids = torch.zeros(len(batch), max(2, longest), dtype=torch.int64)
                there = torch.zeros_like(ids)
                for row, (number, start, length) in enumerate(batch):
                    ids[row, :length] = torch.from_numpy(records[number].ids[start : start + length].astype(np.int64))
                    there[row, :length] = 1
                losses = self._pass(ids, there).float().cpu().numpy()
                for row, (number, start, length) in enumerate(batch):
                    found[number][start + 1 : start + length] = losses[row, 1:length]
        finally:
            self.model.train(training)
        return found

    def _pass(self, ids: Tensor, there: Tensor) -> Tensor:
        self.made += 1
        ids, there = ids.to(self.device), there.to(self.device)
        more: dict[str, Any] = {"use_cache": False} if "use_cache" in self.takes else {}
        if "attention_mask" in self.takes and not bool(there.all()):
            more["attention_mask"] = there
        with torch.no_grad():
            outputs = self.model(input_ids=ids, **more)
            logits = outputs if isinstance(outputs, Tensor) else outputs["logits"]
            return token_losses(logits, ids.masked_fill(there == 0, IGNORE))

    def keep_company(self, ranks: int) -> None:
        """As many passes as the rank that made most: a sharded model's are made by all ranks together."""
        if ranks == 1:
            return
        import torch.distributed as dist

        most = torch.tensor(self.made, device=self.device)
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
        two = torch.ones(1, 2, dtype=torch.int64)
        training = self.model.training
        self.model.eval()
        while self.made < int(most):
            self._pass(two, two)
        self.model.train(training)


def _write(path: Path, records: Sequence[Any], losses: Sequence[Any]) -> None:
    """Appears whole, or not."""
    offsets = pa.array(np.cumsum([0, *(len(record.ids) for record in records)]), pa.int32())
    flat = [
        np.concatenate([np.empty(0, np.float32), *losses]),
        np.concatenate([np.empty(0, np.int32), *(r.ids for r in records)]),
    ]
    lists = [
        pa.ListArray.from_arrays(offsets, pa.array(flat[1].astype(np.int32))),
        # NaN to null.
        pa.ListArray.from_arrays(offsets, pa.array(flat[0], from_pandas=True)),
    ]
    table = pa.table([values.cast(field.type) for values, field in zip(lists, _SCHEMA)], schema=_SCHEMA)
    staged = path.with_name(f".{path.name}.partial")
    pq.write_table(table, staged)
    staged.replace(path)


def _wait(ranks: int) -> None:
    if ranks > 1:
        import torch.distributed as dist

        dist.barrier()
