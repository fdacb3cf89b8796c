"""What a job asks for and what an engine answers to it: the JSON in the metadata of both streams."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

PROTOCOL = 1
METADATA_KEY = b"tokensieve"
OUTPUTS = ("loss", "entropy", "greedy")
"""What engines give today. `prob2`, `topk`, `hidden` and `generate` are names kept for later."""

Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


class EngineError(Exception):
    """Something that a user can do something about; `code` is for programs, the message is one line for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Model:
    name: str
    folder: str
    graph: str | None
    """An ONNX file made of the folder, for engines that take graphs; its weights lie in `weights`."""
    weights: str | None


@dataclass(frozen=True)
class Job:
    models: tuple[Model, ...]
    device: str
    """`auto`, or a name of the engine's own: `cpu`, `cuda`, `mps`, `xpu`."""
    card: int
    precision: str
    """`auto`, `fp32`, `fp16` or `bf16`."""
    threads: int
    """Threads of the process; 0: the library's own choice."""
    longest_row: int
    attention: str
    """`across`: documents of a row see each other. `within`: they do not, and positions restart."""
    outputs: tuple[str, ...]
    options: dict[str, Any]
    """By name, what one engine alone knows; a name that it does not know is refused."""


@dataclass(frozen=True)
class Rows:
    """Rows of one request. All lists have the row's length."""

    ids: list[Ids]
    documents: list[Ids] | None
    """With attention `within`: which tokens see each other."""


class Engine(Protocol):
    def profile(self) -> dict[str, Any]:
        """The answer's metadata but for `protocol`: engine, version, outputs, models by name, and the numeric profile."""
        ...

    def score(self, rows: Rows) -> dict[str, dict[str, Sequence[Floats]]]:
        """By model and output: for each row an array one shorter than the row; entry t belongs to token t + 1, in nats."""
        ...


def _refuse(what: str) -> EngineError:
    return EngineError("bad-job", what)


_KEYS = {
    "protocol", "models", "device", "card", "precision", "threads", "longest_row", "attention", "outputs", "options",
}  # fmt: skip


def read_job(text: bytes) -> Job:
    """Reads a job and refuses what is not understood, by name."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise _refuse(f"the job is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise _refuse("the job is no object")
    if found.get("protocol") != PROTOCOL:
        raise _refuse(f"the job speaks protocol {found.get('protocol')!r}; this engine speaks {PROTOCOL}")
    unknown = sorted(set(found) - _KEYS)
    if unknown:
        raise _refuse(f"the job has a field {unknown[0]!r} that this engine does not know")
    missing = sorted(_KEYS - {"options"} - set(found))
    if missing:
        raise _refuse(f"the job has no field {missing[0]!r}")
    if found["attention"] not in ("across", "within"):
        raise _refuse(f"attention is {found['attention']!r}; expected across or within")
    if found["precision"] not in ("auto", "fp32", "fp16", "bf16"):
        raise _refuse(f"precision is {found['precision']!r}; expected auto, fp32, fp16 or bf16")
    models = tuple(_model(one) for one in found["models"])
    if not models or len({model.name for model in models}) != len(models):
        raise _refuse("the job's models have no names, or one name twice")
    return Job(
        models=models,
        device=str(found["device"]),
        card=int(found["card"]),
        precision=found["precision"],
        threads=int(found["threads"]),
        longest_row=int(found["longest_row"]),
        attention=found["attention"],
        outputs=tuple(found["outputs"]),
        options=dict(found.get("options") or {}),
    )


def _model(found: Any) -> Model:
    if not isinstance(found, dict):
        raise _refuse("a model of the job is no object")
    unknown = sorted(set(found) - {"name", "folder", "graph", "weights"})
    if unknown:
        raise _refuse(f"a model of the job has a field {unknown[0]!r} that this engine does not know")
    return Model(str(found["name"]), str(found["folder"]), found.get("graph"), found.get("weights"))


def check_outputs(job: Job, offered: Sequence[str]) -> None:
    for output in job.outputs:
        if output not in offered:
            raise EngineError(
                "no-such-output", f"output {output!r} is not offered; this engine gives {', '.join(offered)}"
            )


def check_options(job: Job, known: Sequence[str]) -> None:
    for option in job.options:
        if option not in known:
            names = ", ".join(known) if known else "none"
            raise EngineError("bad-option", f"option {option!r} is not known; this engine takes {names}")
