"""A run's folder: its finished parts in their global order, and what they agree on."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .errors import TokensieveError
from .files import Files, files_of
from .manifest import SUFFIX, Manifest, read_manifest
from .sequences import Batch, Sequence, open_part, read_batches


class Checked:
    """A byte a part, 1 where its file need not be checked any more. Forked loader workers share it: one of them checks."""

    def __init__(self, parts: int, *, skip: bool) -> None:
        self._flags = mmap.mmap(-1, max(1, parts))
        self._flags[:] = bytes([skip]) * max(1, parts)

    def due(self, part: int) -> bool:
        return self._flags[part] == 0

    def done(self, part: int) -> None:
        self._flags[part] = 1

    def __reduce__(self) -> tuple[Any, ...]:
        # Of a process of its own nothing is shared: it checks what this one has not.
        return _checked, (bytes(self._flags[:]),)


def _checked(flags: bytes) -> Checked:
    found = Checked(len(flags), skip=False)
    found._flags[:] = flags
    return found


@dataclass(frozen=True, repr=False)
class Run:
    """Finished parts of one data set, in order: by shard name (UTF-16 code units, as the pipeline sorts), then part."""

    folder: str
    files: Files
    parts: tuple[Manifest, ...]
    kind: str
    #: Loss, entropy and weight columns, in the files' order.
    columns: tuple[str, ...]
    #: Ids of the longest row that there may be.
    length: int
    attention: Literal["across", "within"]
    tokenizer_hash: str
    #: What stored weights' loss is divided by.
    normaliser: Literal["weights", "eligible"]
    #: Loss columns that hold one mean for all tokens of a row or document (`import --means spread`).
    means: frozenset[str]
    #: Which parts' bytes still have to be held against their manifest's sha256.
    checked: Checked

    def __repr__(self) -> str:
        return (
            f"<Run {self.folder}: {self.kind}, {len(self.parts)} parts, {self.rows} rows of up to {self.length} ids, "
            f"{self.tokens} tokens, {self.targets} targets; {', '.join(self.columns)}>"
        )

    @property
    def rows(self) -> int:
        return sum(part.sequences for part in self.parts)

    @property
    def tokens(self) -> int:
        return sum(part.tokens for part in self.parts)

    @property
    def targets(self) -> int:
        return sum(part.eligible or 0 for part in self.parts)

    @property
    def has_fractions(self) -> bool:
        """Whether some weight is neither 0 nor 1, as the parts' counts tell."""
        return any(part.kept is not None and part.kept != part.weight_sum for part in self.parts)

    @property
    def fingerprint(self) -> str:
        """sha256 over the parts' manifests: changes when any file does, not when the folder moves."""
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(json.dumps(part.json, sort_keys=True, separators=(",", ":")).encode())
        return digest.hexdigest()

    def part_batches(self, index: int) -> Iterator[Batch]:
        """
        The record batches of part `index` in order. The part's bytes are held against its sha256 when they are first
        read, by this process or by one that it was forked with.
        """
        due = self.checked.due(index)
        for number, batch in enumerate(read_batches(self.files, self.parts[index], check=due)):
            if due and number == 0:
                self.checked.done(index)
            if batch.columns != self.columns:
                raise TokensieveError(
                    "mixed-columns",
                    f"{self.parts[index].file}: has columns {', '.join(batch.columns)}, {self.parts[0].file} "
                    f"{', '.join(self.columns)}; run tokensieve verify on its folder",
                )
            yield batch

    def batches(self) -> Iterator[Batch]:
        """All record batches in order, one in memory."""
        for index in range(len(self.parts)):
            yield from self.part_batches(index)

    def __iter__(self) -> Iterator[Sequence]:
        for batch in self.batches():
            for index in range(len(batch)):
                yield batch.row(index)


def open_run(
    path: str | os.PathLike[str], *, check: bool = True, storage_options: Mapping[str, Any] | None = None
) -> Run:
    """
    Opens a folder of scored, weighted or packed parts, or a run's folder. Of a run's folder the weighted files are
    meant, else the scored, else the packed ones, as by `tokensieve export`. Reads the manifests and one footer, no tokens.

    What is not all of its run (parts without a manifest, scored parts without weights) is taken as it is, with a warning.

    `check`: each part's bytes are held against its manifest's sha256 when they are first read. Off for those who have
    just run `verify`.

    Raises TokensieveError `no-parts`; `several-data-sets`; `misplaced-part`; `mixed-recipes`; `mixed-inputs`;
    `part-changed` where a file is gone or has not its manifest's bytes; `not-trainable`; `bad-manifest`.
    """
    files, folder = files_of(path, None if storage_options is None else dict(storage_options))
    listed = files.list(folder)
    names = _manifest_files(listed, folder)
    manifests = [read_manifest(files, name) for name in names]
    if not manifests:
        raise TokensieveError(
            "no-parts",
            f"{folder}: no finished parts (*{SUFFIX}); name a folder that tokensieve score, select or pack wrote",
        )
    roots = {_root(manifest) for manifest in manifests}
    if len(roots) > 1:
        some = ", ".join(sorted(roots)[:4])
        raise TokensieveError("several-data-sets", f"{folder}: holds {len(roots)} data sets; name one: {some}")
    parts = tuple(sorted(manifests, key=lambda part: (part.shard.encode("utf-16-be", "surrogatepass"), part.part)))
    _check_one(parts)
    (root,) = roots
    _tell_unfinished(listed, names, folder, root)
    for part in parts:
        _check_size(files, part)
    file = open_part(files, parts[0], check=False)
    columns = file.columns
    file.close()
    return Run(
        folder=root,
        files=files,
        parts=parts,
        kind=parts[0].kind,
        columns=columns,
        checked=Checked(len(parts), skip=not check),
        **_rules(parts[0]),
    )


def _tell_unfinished(listed: list[str], taken: list[str], folder: str, root: str) -> None:
    """A data set that is not all of its run is taken as it is, and told of, as by the commands."""
    base = f"{folder.rstrip('/')}/"
    without = set(listed)
    open_parts = [
        name
        for name in listed
        if name.startswith(f"{root}/")
        and re.search(r"/\d{5,15}\.arrow$", name)
        and name.removesuffix(".arrow") + SUFFIX not in without
    ]
    if open_parts:
        warnings.warn(
            f"{folder}: {len(open_parts)} parts are not finished (no manifest beside {open_parts[0]}): what is finished is taken",
            stacklevel=3,
        )
    scored = {name.removeprefix(f"{base}scored/") for name in listed if name.startswith(f"{base}scored/")}
    weighted = {name.removeprefix(f"{base}weighted/") for name in taken if name.startswith(f"{base}weighted/")}
    missing = sorted(name for name in scored - weighted if name.endswith(SUFFIX))
    if weighted and missing:
        warnings.warn(
            f"{folder}: {len(missing)} scored parts have no weights (scored/{missing[0]}): the weighted ones alone are taken; finish the "
            "selection (tokensieve select)",
            stacklevel=3,
        )


def _manifest_files(listed: list[str], folder: str) -> list[str]:
    """Of a run's folder those of the data set that is meant."""
    names = [name for name in listed if name.endswith(SUFFIX)]
    for kind in ("weighted", "scored", "packed"):
        own = [name for name in names if name.startswith(f"{folder.rstrip('/')}/{kind}/")]
        if own:
            return own
    return names


def _root(manifest: Manifest) -> str:
    """The data set's folder, from where the manifest says that its part lies."""
    suffix = f"/{manifest.shard}/{manifest.part:05d}{SUFFIX}"
    root = manifest.path[: -len(suffix)]
    if manifest.path.endswith(suffix) and ".." not in manifest.shard.split("/"):
        return root
    raise TokensieveError(
        "misplaced-part",
        f"{manifest.path}: says that it is part {manifest.part} of {manifest.shard}, which lies elsewhere; "
        "name a folder that tokensieve wrote, as it wrote it",
    )


def _check_one(parts: tuple[Manifest, ...]) -> None:
    first = parts[0]
    inputs: dict[str, Manifest] = {}
    for part in parts:
        if part.kind != first.kind or part.recipe != first.recipe:
            raise TokensieveError(
                "mixed-recipes",
                f"{first.path} and {part.path} were made differently ({difference(first.recipe, part.recipe)}); "
                "finish the run that writes here with --replace, or remove one of them",
            )
        known = inputs.setdefault(part.shard, part)
        if _known_input(known) != _known_input(part):
            raise TokensieveError(
                "mixed-inputs",
                f"{part.path}: is of another version of the shard than part {known.part} "
                f"({difference(_known_input(known), _known_input(part))}); finish the run that writes here, "
                "then remove the parts of the version that is gone",
            )


#: Of a manifest's input, what is each part's own.
PART_KEYS = frozenset({"row_start", "row_end", "text_sha256", "columns_sha256"})


def _known_input(part: Manifest) -> Mapping[str, Any]:
    found = part.json.get("input")
    if not isinstance(found, dict):
        raise TokensieveError("bad-manifest", f"{part.path}: field input: expected an object")
    return {key: value for key, value in found.items() if key not in PART_KEYS}


def difference(a: object, b: object, path: str = "") -> str:
    """The first field in which two JSON values differ: `sequence.length: 512 → 1024`. Empty when they are equal."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            found = difference(a.get(key), b.get(key), f"{path}.{key}" if path else key)
            if found:
                return found
        return ""
    if a == b:
        return ""
    return f"{path or 'all'}: {_short(a)} → {_short(b)}"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 48 else text[:45] + "…"


def _check_size(files: Files, part: Manifest) -> None:
    output = part.sequence_file
    expected = None if output is None else output.bytes
    try:
        size: int | None = files.size(part.file)
    except OSError:
        size = None
    if expected is None or size != expected:
        raise TokensieveError(
            "part-changed",
            f"{part.file}: {'is not there' if size is None else f'has {size} bytes'}, its manifest says {expected}; "
            "run tokensieve verify, then make the part again",
        )


def _rules(part: Manifest) -> dict[str, Any]:
    recipe: Any = part.recipe.get("scored") if part.kind == "weighted" else part.recipe
    conventions: Any = part.recipe.get("conventions", {}) if part.kind == "weighted" else {}
    try:
        length = recipe["sequence"]["length"]
        attention = recipe["sequence"]["attention"]
        tokenizer = recipe["tokenizer"]["hash"]
        normaliser = {"sum-of-weights": "weights", "eligible-tokens": "eligible"}[
            conventions.get("normaliser", "sum-of-weights")
        ]
        sound = isinstance(length, int) and 2 <= length <= 1 << 20 and attention in ("across", "within")
    except (KeyError, TypeError, AttributeError):
        sound = False
    if not sound or not isinstance(tokenizer, str):
        raise TokensieveError(
            "not-trainable",
            f"{part.path}: its recipe does not tell how rows were made; score or pack the corpus again",
        )
    return {
        "length": length,
        "attention": attention,
        "tokenizer_hash": tokenizer,
        "normaliser": normaliser,
        "means": _means(recipe),
    }


def _means(recipe: Mapping[str, Any]) -> frozenset[str]:
    columns = set()
    # An import into an imported run holds what was imported before.
    one: Any = recipe.get("import")
    while isinstance(one, dict):
        if one.get("means") == "spread":
            columns.add(f"{one.get('as')}_loss")
        one = one.get("before")
    return frozenset(columns)
