"""The protocol's loop: Arrow IPC streams on standard input and output, one log line of JSON a line on standard error."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from .job import METADATA_KEY, PROTOCOL, Engine, EngineError, Floats, Ids, Job, Rows, read_job

END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def log(level: str, message: str, **more: Any) -> None:
    """One line for the program that started this one."""
    sys.stderr.write(json.dumps({"level": level, "message": message, **more}) + "\n")
    sys.stderr.flush()


def serve(open_engine: Callable[[Job], Engine]) -> int:
    """Answers one job to its end. The exit code is 0, or 1 after an error that was told on standard error."""
    answers = _take_stdout()
    _die_with_parent()
    try:
        _answer(open_engine, sys.stdin.buffer, answers)
    except EngineError as error:
        log("error", str(error), code=error.code)
        return 1
    except BrokenPipeError:
        return 1
    except Exception as error:  # Whatever a library throws is told in one line, by the contract.
        text = " ".join(str(error).split())[:2000]
        code = "out-of-memory" if _is_memory(error) else "engine-failed"
        log("error", f"{type(error).__name__}: {text}", code=code)
        return 1
    return 0


def _answer(open_engine: Callable[[Job], Engine], requests: BinaryIO, answers: BinaryIO) -> None:
    with pa.ipc.open_stream(requests) as reader:
        job = read_job((reader.schema.metadata or {}).get(METADATA_KEY, b""))
        engine = open_engine(job)
        schema = _answer_schema(job, engine.profile())
        # pyarrow's own writer keeps the schema back until the first batch, which is only sent once the schema was seen.
        _send(answers, schema.serialize())
        for batch in reader:
            losses = engine.score(_rows(batch, job))
            _send(answers, _answer_batch(job, schema, losses).serialize())
        _send(answers, END_OF_STREAM)


def _send(answers: BinaryIO, message: Any) -> None:
    answers.write(message)
    answers.flush()


def _answer_schema(job: Job, profile: dict[str, Any]) -> pa.Schema:
    fields = [
        pa.field(f"{model.name}.{output}", pa.list_(pa.field("item", pa.float32(), nullable=False)), nullable=False)
        for model in job.models
        for output in job.outputs
    ]
    told = json.dumps({"protocol": PROTOCOL, **profile})
    return pa.schema(fields, metadata={METADATA_KEY: told.encode()})


def _rows(batch: pa.RecordBatch, job: Job) -> Rows:
    ids = _lists(batch, "input_ids")
    documents = _lists(batch, "document_ids") if job.attention == "within" else None
    return Rows(ids, documents)


def _lists(batch: pa.RecordBatch, name: str) -> list[Ids]:
    index = batch.schema.get_field_index(name)
    if index < 0:
        raise EngineError("bad-request", f"a request has no column {name!r}")
    column = batch.column(index)
    offsets = column.offsets.to_numpy()
    values = column.values.to_numpy(zero_copy_only=True)
    return [values[offsets[row] : offsets[row + 1]] for row in range(len(column))]


def _answer_batch(job: Job, schema: pa.Schema, losses: dict[str, dict[str, Sequence[Floats]]]) -> pa.RecordBatch:
    columns = []
    for model in job.models:
        for output in job.outputs:
            rows = losses[model.name][output]
            offsets = np.zeros(len(rows) + 1, np.int32)
            np.cumsum([len(row) for row in rows], out=offsets[1:])
            values = np.concatenate(rows) if len(rows) > 0 else np.zeros(0, np.float32)
            field = schema.field(f"{model.name}.{output}")
            columns.append(
                pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.astype(np.float32)), type=field.type)
            )
    return pa.record_batch(columns, schema=schema)


def _take_stdout() -> BinaryIO:
    """Answers keep standard output to themselves: what a library prints goes to standard error."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(1), "wb", buffering=1 << 20)
    os.dup2(2, 1)
    return own


def _die_with_parent() -> None:
    """On Linux the system ends this process with its parent, a call of a model under way or not."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this by the pipe.
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() == 1 and os.environ.get("TOKENSIEVE_ENGINE_PARENT") not in (None, "1"):
        os._exit(1)  # It went before this was said.


def _is_memory(error: Exception) -> bool:
    words = ("out of memory", "alloc_failed", "can't allocate memory")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)
