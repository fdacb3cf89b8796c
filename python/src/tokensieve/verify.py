"""Every file of a run against its manifest: bytes, sha256, rows, counts, values."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import TokensieveError
from .files import Files, files_of, read_in_pieces
from .manifest import SUFFIX, Manifest, Output, read_manifest
from .run import _check_one, _root
from .sequences import open_part, read_batches


@dataclass(frozen=True)
class Report:
    """What was read, and what is wrong: `findings` are lines `file: reason`, none where the folder is sound."""

    parts: int
    files: int
    bytes: int
    sequences: int
    tokens: int
    findings: tuple[str, ...]


def verify(path: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> Report:
    """
    Checks every part below a folder; reads everything, holds one record batch. Histograms, documents and byte ranges
    are checked by the command `tokensieve verify` alone.

    Raises TokensieveError `no-folder` and `no-fsspec` only: what is wrong with a file is a finding.
    """
    files, folder = files_of(path, None if storage_options is None else dict(storage_options))
    names = files.list(folder)
    findings: list[str] = []
    owned: set[str] = set()
    manifests: list[Manifest] = []
    counted = [0, 0, 0, 0]
    for name in (name for name in names if name.endswith(SUFFIX)):
        try:
            manifest = read_manifest(files, name)
            _root(manifest)
        except (TokensieveError, OSError) as error:
            findings.append(_line(name, error))
            continue
        manifests.append(manifest)
        for output in manifest.outputs:
            file = f"{manifest.folder}/{output.name}"
            if file in owned:
                findings.append(f"{file}: is an output of two manifests")
            owned.add(file)
            try:
                counted[0] += 1
                counted[1] += _check_bytes(files, file, output)
                if output.kind == "sequences":
                    sequences, tokens = _check_counts(files, manifest, output)
                    counted[2] += sequences
                    counted[3] += tokens
            except (TokensieveError, OSError) as error:
                findings.append(_line(file, error))
        if not any(output.kind == "sequences" for output in manifest.outputs):
            findings.append(f"{name}: has no sequence file among its outputs")
    by_root: dict[tuple[str, str], list[Manifest]] = {}
    for manifest in manifests:
        by_root.setdefault((_root(manifest), manifest.kind), []).append(manifest)
    for group in by_root.values():
        try:
            _check_one(tuple(group))
        except TokensieveError as error:
            findings.append(str(error))
    findings += [
        f"{name}: belongs to no manifest; a run that was stopped left it: run it again, or remove it"
        for name in names
        if name.endswith(".arrow") and name not in owned
    ]
    if not manifests and not findings:
        findings.append(f"{folder}: no manifests found; nothing was checked")
    count, size, sequences, tokens = counted
    return Report(len(manifests), count, size, sequences, tokens, tuple(findings))


def _line(file: str, error: BaseException) -> str:
    text = (str(error) or type(error).__name__).splitlines()[0]
    return text if text.startswith(file) else f"{file}: {text}"


def _check_bytes(files: Files, path: str, output: Output) -> int:
    size = files.size(path)
    if size != output.bytes:
        raise TokensieveError("bytes-differ", f"{path}: has {size} bytes; its manifest says {output.bytes}")
    digest = hashlib.sha256()
    for piece in read_in_pieces(files, path):
        digest.update(piece)
    if digest.hexdigest() != output.sha256:
        raise TokensieveError(
            "bytes-differ", f"{path}: has sha256 {digest.hexdigest()}; its manifest says {output.sha256}"
        )
    return size


def _check_counts(files: Files, manifest: Manifest, output: Output) -> tuple[int, int]:
    file = open_part(files, manifest, check=False)
    columns = file.columns
    file.close()
    if ("weight" in columns) != (manifest.kind != "scored"):
        raise TokensieveError(
            "columns-differ", f"{manifest.file}: has columns {', '.join(columns)}; its manifest says {manifest.kind}"
        )
    sequences = tokens = eligible = kept = 0
    weight_sum = 0.0
    for batch in read_batches(files, manifest, check=False):
        if not np.array_equal(batch.sequence_ids, np.arange(sequences, sequences + len(batch))):
            raise TokensieveError("rows-differ", f"{manifest.file}: sequence ids do not count from {sequences} on")
        sequences += len(batch)
        tokens += len(batch.input_ids)
        loss = next(iter(batch.losses.values()), None)
        if batch.weight is not None and len(batch.weight):
            kept += int(np.count_nonzero(batch.weight > 0))
            # One after the other, as the writer sums: equal to the last bit.
            weight_sum = float(np.cumsum(np.concatenate([[weight_sum], batch.weight.astype(np.float64)]))[-1])
        if loss is not None:
            eligible += int(np.count_nonzero(~np.isnan(loss)))
    weighted = "weight" in columns
    only_weight = columns == ("weight",)
    for name, found, said in (
        ("rows", sequences, output.rows),
        ("sequences", sequences, manifest.sequences),
        ("tokens", tokens, manifest.tokens),
        ("eligible", kept if only_weight else eligible, manifest.eligible),
        ("kept", kept if weighted else None, manifest.kept),
        ("weight_sum", weight_sum if weighted else None, manifest.weight_sum),
    ):
        if found != said:
            raise TokensieveError("counts-differ", f"{manifest.file}: {name} is {found}; its manifest says {said}")
    return sequences, tokens
