"""Manifests: one JSON file beside each part, written last. A part is done when it is there."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import TokensieveError
from .files import Files

SUFFIX = ".manifest.json"
VERSION = 1
#: Longest manifest that is read: a hundred times the size of a real one.
MAX_BYTES = 1 << 22
KINDS = ("scored", "weighted", "packed")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELDS = frozenset(
    [
        "version",
        "kind",
        "shard",
        "part",
        "input",
        "fingerprint",
        "recipe",
        "counts",
        "marks",
        "histograms",
        "outputs",
        "digest",
    ]
)
_RUN_AGAIN = "run the command that made the part again"


@dataclass(frozen=True, slots=True)
class Output:
    """A file of the part."""

    kind: str
    name: str
    bytes: int
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """One part as its manifest has it. `recipe` is everything but the input that decided the bytes."""

    path: str
    kind: str
    shard: str
    part: int
    fingerprint: str
    recipe: Mapping[str, Any]
    sequences: int
    tokens: int
    eligible: int | None
    kept: int | None
    weight_sum: float | None
    outputs: tuple[Output, ...]
    #: The whole JSON, for what has no field here.
    json: Mapping[str, Any]

    @property
    def folder(self) -> str:
        return self.path.rsplit("/", 1)[0]

    @property
    def file(self) -> str:
        """Path of the part's sequence file."""
        return f"{self.folder}/{self.part:05d}.arrow"

    @property
    def sequence_file(self) -> Output | None:
        """The output that `file` is, as the manifest has it."""
        name = self.file.rsplit("/", 1)[1]
        return next((output for output in self.outputs if output.kind == "sequences" and output.name == name), None)


def read_manifest(files: Files, path: str) -> Manifest:
    """
    Reads and checks a manifest: its fields, and its own digest (manifests of early versions have none).

    Raises TokensieveError `bad-manifest`, naming file and field; `unreadable`.
    """
    try:
        size = files.size(path)
        if size > MAX_BYTES:
            raise TokensieveError("bad-manifest", f"{path}: {size} bytes; a manifest has at most {MAX_BYTES}")
        with files.open(path) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TokensieveError(
            "unreadable", f"{path}: cannot be read ({error.strerror or error}); make it readable, or {_RUN_AGAIN}"
        ) from error
    try:
        text = data.decode("utf-8")
        root = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TokensieveError("bad-manifest", f"{path}: not JSON; remove it and {_RUN_AGAIN}") from error
    if isinstance(root, dict) and "digest" in root:
        _check_digest(path, text, root["digest"])
    return _Reader(path).manifest(root)


def _check_digest(path: str, text: str, digest: object) -> None:
    """
    A manifest is canonical JSON and a line's end, sealed with the sha256 of itself without this field. So the field is
    taken out of the text as it stands; nothing has to be written as JavaScript writes numbers.
    """
    field = f'"digest":"{digest}",'
    content = text.replace(field, "", 1).removesuffix("\n")
    sound = text.count(field) == 1 and text.endswith("}\n")
    if not sound or hashlib.sha256(content.encode()).hexdigest() != digest:
        raise TokensieveError("bad-manifest", f"{path}: its digest is not that of its content; {_RUN_AGAIN}")


class _Reader:
    """Takes fields out of JSON and names those that are not what they should be."""

    def __init__(self, path: str) -> None:
        self.path = path

    def bad(self, field: str, found: object, expected: str) -> TokensieveError:
        shown = repr(found)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return TokensieveError(
            "bad-manifest",
            f"{self.path}: field {field}: is {shown}, expected {expected}; {_RUN_AGAIN}",
        )

    def count(self, json: Mapping[str, Any], name: str, where: str = "") -> int:
        value = json.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
            raise self.bad(where + name, value, "a whole number of at least 0")
        return value

    def text(self, json: Mapping[str, Any], name: str, where: str = "") -> str:
        value = json.get(name)
        if not isinstance(value, str) or value == "":
            raise self.bad(where + name, value, "a text")
        return value

    def sha256(self, json: Mapping[str, Any], name: str, where: str = "") -> str:
        value = json.get(name)
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            raise self.bad(where + name, value, "64 hex digits")
        return value

    def mapping(self, json: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        value = json.get(name)
        if not isinstance(value, dict):
            raise self.bad(name, value, "an object")
        return value

    def output(self, json: object, index: int) -> Output:
        where = f"outputs.{index}."
        if not isinstance(json, dict):
            raise self.bad(where[:-1], json, "an object")
        name = self.text(json, "name", where)
        # A manifest may not name files outside its folder.
        if "/" in name or "\\" in name or name in (".", ".."):
            raise self.bad(where + "name", name, "a file name without a folder")
        return Output(
            kind=self.text(json, "kind", where),
            name=name,
            bytes=self.count(json, "bytes", where),
            sha256=self.sha256(json, "sha256", where),
            rows=self.count(json, "rows", where),
        )

    def manifest(self, root: object) -> Manifest:
        if not isinstance(root, dict):
            raise self.bad("(whole)", root, "an object")
        version = root.get("version")
        if version != VERSION:
            raise self.bad("version", version, f"{VERSION} (a newer version needs a newer package)")
        kind = root.get("kind")
        if kind not in KINDS:
            raise self.bad("kind", kind, " or ".join(KINDS))
        unknown = sorted(set(root) - _FIELDS)
        if unknown:
            raise self.bad(unknown[0], root[unknown[0]], "no such field (a newer version needs a newer package)")
        counts = self.mapping(root, "counts")
        outputs = root.get("outputs")
        if not isinstance(outputs, list):
            raise self.bad("outputs", outputs, "a list")
        weight_sum = counts.get("weight_sum")
        if weight_sum is not None and not (
            isinstance(weight_sum, (int, float)) and math.isfinite(weight_sum) and weight_sum >= 0
        ):
            raise self.bad("counts.weight_sum", weight_sum, "a number of at least 0")
        return Manifest(
            path=self.path,
            kind=kind,
            shard=self.text(root, "shard"),
            part=self.count(root, "part"),
            fingerprint=self.sha256(root, "fingerprint"),
            recipe=self.mapping(root, "recipe"),
            sequences=self.count(counts, "sequences", "counts."),
            tokens=self.count(counts, "tokens", "counts."),
            eligible=self.count(counts, "eligible", "counts.") if "eligible" in counts else None,
            kept=self.count(counts, "kept", "counts.") if "kept" in counts else None,
            weight_sum=None if weight_sum is None else float(weight_sum),
            outputs=tuple(self.output(entry, index) for index, entry in enumerate(outputs)),
            json=root,
        )
