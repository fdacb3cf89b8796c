"""Sequence files: one row a sequence, its lists as NumPy views, a record batch in memory at a time."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .claims import MAX_BATCH_BYTES, claimed_bytes, record_batches
from .errors import TokensieveError
from .files import Files
from .manifest import Manifest

#: NaN where a token has none: the one sign of "no target" in scored and weighted files.
LOSS_COLUMNS = ("reference_loss", "current_loss", "reference_entropy", "current_entropy")
TOKEN_COLUMNS = (*LOSS_COLUMNS, "weight")
SEGMENT_FIELDS = ("document", "token_start", "token_count", "byte_start", "byte_end")

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Segments:
    """Which document each token is of; [segments] each, in order, together covering the row."""

    #: Row in the shard.
    document: Int64
    token_start: Int32
    token_count: Int32
    #: UTF-8 bytes [byte_start, byte_end) of the document's text.
    byte_start: Int64
    byte_end: Int64


@dataclass(frozen=True, slots=True)
class Sequence:
    """
    A row. All arrays are [tokens] and read-only views of the record batch; copy what is to stay.

    Entry i of every array is of token i: `losses["reference_loss"][i]` is −ln p(token i | tokens before it in the row).
    """

    sequence_id: int
    input_ids: Int32
    #: By column name, nats, NaN where the token is no target. float32, or float16 in files of that precision.
    losses: Mapping[str, Floats]
    #: float32; None in scored files.
    weight: Floats | None
    segments: Segments

    @property
    def eligible(self) -> Bools:
        """[tokens] True where the token is a target. The first of a row never is: it has no context."""
        return _eligible(self.losses, self.weight, len(self.input_ids))


def _eligible(losses: Mapping[str, Floats], weight: Floats | None, length: int) -> Bools:
    column = next(iter(losses.values()), None)
    if column is not None:
        found = ~np.isnan(column)
    elif weight is not None:
        found = weight > 0
    else:
        found = np.zeros(length, np.bool_)
    if length > 0:
        found[0] = False
    return found


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one record batch. Views of it; [tokens] arrays hold the rows one after the other."""

    sequence_ids: Int64
    #: [rows + 1]
    offsets: Int32
    input_ids: Int32
    losses: Mapping[str, Floats]
    weight: Floats | None
    #: [rows + 1], into the segments.
    segment_offsets: Int32
    segments: Segments

    def __len__(self) -> int:
        return len(self.sequence_ids)

    @property
    def columns(self) -> tuple[str, ...]:
        """Loss, entropy and weight columns, in the file's order."""
        return (*self.losses, *(() if self.weight is None else ("weight",)))

    def row(self, index: int) -> Sequence:
        at, end = int(self.offsets[index]), int(self.offsets[index + 1])
        first, last = int(self.segment_offsets[index]), int(self.segment_offsets[index + 1])
        return Sequence(
            sequence_id=int(self.sequence_ids[index]),
            input_ids=self.input_ids[at:end],
            losses={name: values[at:end] for name, values in self.losses.items()},
            weight=None if self.weight is None else self.weight[at:end],
            segments=Segments(*(getattr(self.segments, name)[first:last] for name in SEGMENT_FIELDS)),
        )


#: What pyarrow raises over damaged bytes: its own errors, and those of names that are no text, or of missing fields.
_DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError, OverflowError, struct.error)


class SequenceFile:
    """
    An open sequence file. `batch(i)` decodes record batch i and no other.

    `sha256`: what its bytes must have; they are read whole for it, before anything is made of them.
    """

    def __init__(self, files: Files, path: str, sha256: str | None = None) -> None:
        self.path = path
        try:
            self._source = files.arrow(path, whole=sha256 is not None)
        except OSError as error:
            raise _unreadable(path, error) from error
        try:
            if sha256 is not None:
                _check_sha256(self._source, sha256, path)
            self._places = record_batches(self._source)
            self._reader = pa.ipc.open_file(self._source)
            schema = self._reader.schema
            names = set(schema.names)
            missing = {"sequence_id", "input_ids", "segments"} - names
            if missing:
                raise TokensieveError(
                    "not-sequences", f"{path}: has no column {sorted(missing)[0]}; expected a sequence file"
                )
            self.columns: tuple[str, ...] = tuple(name for name in TOKEN_COLUMNS if name in names)
            self.metadata: Mapping[str, Any] = _metadata(schema.metadata, path)
            _check_types(schema, self.columns, path)
            if len(self._places) != self._reader.num_record_batches:
                raise ValueError("its footer tells of other record batches")
        except TokensieveError:
            self._source.close()
            raise
        except _DAMAGE as error:
            self._source.close()
            raise _unreadable(path, error) from error

    @property
    def batches(self) -> int:
        return int(self._reader.num_record_batches)

    def batch(self, index: int) -> Batch:
        """Raises TokensieveError `arrow-corrupt`, `bad-row`."""
        try:
            claim = claimed_bytes(self._source, self._places[index])
            if claim > MAX_BATCH_BYTES:
                raise ValueError(f"record batch {index} claims {claim} bytes; at most {MAX_BATCH_BYTES} are read")
            record = self._reader.get_batch(index)
            record.validate(full=True)
            return _decode(record, self.columns, self.path)
        except _DAMAGE as error:
            raise _unreadable(self.path, error) from error

    def close(self) -> None:
        self._source.close()


def _check_sha256(source: Any, sha256: str, path: str) -> None:
    digest = hashlib.sha256()
    source.seek(0)
    # A piece at a time, of a mapped file without a copy; pieces leave the lock to other threads.
    while piece := source.read_buffer(1 << 22):
        digest.update(piece)
    source.seek(0)
    if digest.hexdigest() != sha256:
        raise TokensieveError(
            "part-changed",
            f"{path}: has sha256 {digest.hexdigest()[:12]}…, its manifest says {sha256[:12]}…; "
            "run tokensieve verify, then make the part again",
        )


def _unreadable(path: str, error: BaseException) -> TokensieveError:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return TokensieveError("arrow-corrupt", f"{path}: cannot be read ({first}); run tokensieve verify on its folder")


def _metadata(metadata: Mapping[bytes, bytes] | None, path: str) -> Mapping[str, Any]:
    try:
        found = json.loads((metadata or {}).get(b"tokensieve", b"{}"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise TokensieveError("not-sequences", f"{path}: schema metadata 'tokensieve' is no JSON object")
    version = found.get("version", 1)
    if version != 1:
        raise TokensieveError(
            "newer-version", f"{path}: layout version {version}; this package reads 1: use a newer one"
        )
    return found


def _check_types(schema: Any, columns: tuple[str, ...], path: str) -> None:
    def item(name: str) -> Any:
        kind = schema.field(name).type
        return kind.value_type if pa.types.is_list(kind) else None

    wrong = None
    if schema.field("sequence_id").type != pa.int64():
        wrong = "sequence_id"
    elif item("input_ids") != pa.int32():
        wrong = "input_ids"
    elif item("segments") is None or not pa.types.is_struct(item("segments")):
        wrong = "segments"
    for name in columns:
        if item(name) not in ((pa.float32(),) if name == "weight" else (pa.float32(), pa.float16())):
            wrong = name
    if wrong is not None:
        raise TokensieveError(
            "not-sequences", f"{path}: column {wrong} is {schema.field(wrong).type}; expected schemas/*.arrow.json's"
        )


def _decode(record: Any, columns: tuple[str, ...], path: str) -> Batch:
    def view(array: Any) -> Any:
        if array.null_count > 0:
            raise TokensieveError("bad-row", f"{path}: has null values; run tokensieve verify on its folder")
        return array.to_numpy(zero_copy_only=True)

    def parts(name: str) -> tuple[Int32, Any]:
        array = record.column(record.schema.get_field_index(name))
        if array.null_count > 0:
            raise TokensieveError(
                "bad-row", f"{path}: column {name} has null rows; run tokensieve verify on its folder"
            )
        return view(array.offsets), array.values

    offsets, ids = parts("input_ids")
    base, end = int(offsets[0]), int(offsets[-1])
    rebased = offsets - offsets[0]
    values: dict[str, Floats] = {}
    for name in columns:
        own, items = parts(name)
        if not np.array_equal(own - own[0], rebased):
            raise TokensieveError(
                "bad-row", f"{path}: column {name} has rows of other lengths than input_ids; run tokensieve verify"
            )
        values[name] = view(items)[int(own[0]) : int(own[-1])]
    segment_offsets, structs = parts("segments")
    first, last = int(segment_offsets[0]), int(segment_offsets[-1])
    fields = [view(structs.field(name))[first:last] for name in SEGMENT_FIELDS]
    return Batch(
        sequence_ids=view(record.column(record.schema.get_field_index("sequence_id"))),
        offsets=rebased,
        input_ids=view(ids)[base:end],
        losses={name: array for name, array in values.items() if name != "weight"},
        weight=values.get("weight"),
        segment_offsets=segment_offsets - segment_offsets[0],
        segments=Segments(*fields),
    )


def bad_value(batch: Batch) -> str | None:
    """
    The first thing that breaks the rules of sequence files, in words.

    A loss or entropy is finite, or NaN in all of these columns at once; a weight is finite, at least 0, and 0 where a
    loss is NaN; ids are not negative; segments cover their row.
    """
    first: tuple[str, Bools] | None = None
    for name, values in batch.losses.items():
        missing = np.isnan(values)
        infinite = np.flatnonzero(np.isinf(values))
        if infinite.size:
            return f"{_where(batch, infinite[0])}: {name} is {values[infinite[0]]}; expected a finite number of nats, or NaN"
        if first is None:
            first = (name, missing)
        elif not np.array_equal(missing, first[1]):
            at = int(np.flatnonzero(missing != first[1])[0])
            return f"{_where(batch, at)}: one of {first[0]} and {name} is NaN; expected both or neither"
    if batch.weight is not None:
        bad = np.flatnonzero(~(np.isfinite(batch.weight) & (batch.weight >= 0)))
        if bad.size:
            return f"{_where(batch, bad[0])}: weight is {batch.weight[bad[0]]}; expected a finite number of at least 0"
        if first is not None:
            bad = np.flatnonzero(first[1] & (batch.weight != 0))
            if bad.size:
                return f"{_where(batch, bad[0])}: weight is {batch.weight[bad[0]]} where {first[0]} is NaN; expected 0"
    negative = np.flatnonzero(batch.input_ids < 0)
    if negative.size:
        return f"{_where(batch, negative[0])}: token id {batch.input_ids[negative[0]]} is negative"
    return _segment_problem(batch)


def _segment_problem(batch: Batch) -> str | None:
    counts = batch.segments.token_count
    if counts.size and int(counts.min()) < 1:
        return f"a segment has {counts.min()} tokens; expected some"
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    covered = total[batch.segment_offsets[1:]] - total[batch.segment_offsets[:-1]]
    lengths = np.diff(batch.offsets)
    wrong = np.flatnonzero(covered != lengths)
    if wrong.size:
        row = int(wrong[0])
        return f"row {batch.sequence_ids[row]}: its segments cover {covered[row]} of {lengths[row]} tokens"
    starts = total[:-1] - np.repeat(total[batch.segment_offsets[:-1]], np.diff(batch.segment_offsets))
    if not np.array_equal(starts, batch.segments.token_start):
        return "a segment does not begin where the one before it ends"
    return None


def _where(batch: Batch, token: int) -> str:
    row = int(np.searchsorted(batch.offsets, token, side="right")) - 1
    return f"row {batch.sequence_ids[row]}, position {token - int(batch.offsets[row])}"


def read_batches(files: Files, manifest: Manifest, *, check: bool) -> Iterator[Batch]:
    """
    The part's record batches in order, the values of each checked. Holds one in memory (of a URL's part, with `check`,
    the part). `check`: its sha256 against the manifest's, before the first.

    Raises TokensieveError `part-changed` (the file is not its manifest's), `bad-row`, `rows-differ`, `arrow-corrupt`.
    """
    file = open_part(files, manifest, check=check)
    try:
        rows = 0
        for index in range(file.batches):
            batch = file.batch(index)
            problem = bad_value(batch)
            if problem is not None:
                raise TokensieveError("bad-row", f"{manifest.file}: {problem}; run tokensieve verify on its folder")
            rows += len(batch)
            yield batch
        if rows != manifest.sequences:
            raise TokensieveError(
                "rows-differ",
                f"{manifest.file}: has {rows} rows, its manifest says {manifest.sequences}; "
                "run tokensieve verify on its folder",
            )
    finally:
        file.close()


def open_part(files: Files, manifest: Manifest, *, check: bool) -> SequenceFile:
    """
    The part's sequence file; `check` reads it whole for its sha256.

    Raises TokensieveError `part-changed` when its manifest is of another.
    """
    output = manifest.sequence_file
    if output is None:
        raise TokensieveError(
            "part-changed", f"{manifest.path}: names no sequence file {manifest.part:05d}.arrow; make the part again"
        )
    file = SequenceFile(files, manifest.file, output.sha256 if check else None)
    found = file.metadata.get("fingerprint")
    if found != manifest.fingerprint:
        file.close()
        raise TokensieveError(
            "part-changed",
            f"{manifest.file}: is of fingerprint {str(found)[:12]}, its manifest of {manifest.fingerprint[:12]}; "
            "wait for the run that writes here, then read again",
        )
    return file
