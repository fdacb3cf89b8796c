"""What every engine of the package does before a model computes anything (docs/engines.md): jobs read, rows cut."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tokensieve.engine.batching import batches_of, pieces_of
from tokensieve.engine.job import EngineError, Rows, read_job


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"protocol": 2}, "speaks protocol 2"),
        ({"colour": 1}, "field 'colour'"),
        ({"attention": "sideways"}, "attention is 'sideways'"),
        ({"precision": "int8"}, "precision is 'int8'"),
        ({"models": []}, "have no names"),
    ],
)
def test_a_job_that_is_not_understood_is_refused(change: dict[str, Any], words: str) -> None:
    sound = {
        "protocol": 1, "models": [{"name": "a", "folder": "/x"}], "device": "auto", "card": 0, "precision": "auto",
        "threads": 0, "longest_row": 8, "attention": "across", "outputs": ["loss"], "options": {},
    }  # fmt: skip
    assert read_job(json.dumps(sound).encode()).models[0].folder == "/x"
    with pytest.raises(EngineError, match=words):
        read_job(json.dumps({**sound, **change}).encode())


def test_rows_that_a_rotary_scaling_treats_otherwise_stay_apart() -> None:
    lengths = [10, 12, 11, 40, 41, 41]
    assert batches_of(lengths, {}) == [[0, 2, 1], [3, 4, 5]]
    assert batches_of([31, 32, 33, 34], {"longrope": 32}) == [[0, 1], [2, 3]]
    assert batches_of([31, 32, 33, 34, 34], {"dynamic": 32}) == [[0, 1], [2], [3, 4]]


def test_documents_are_pieces_and_keep_the_token_after_them() -> None:
    ids = np.arange(7, dtype=np.int32)
    pieces = pieces_of(Rows([ids], [np.array([0, 0, 0, 1, 1, 0, 0], np.int32)]))
    assert [(piece.start, piece.ids.tolist(), piece.targets.tolist()) for piece in pieces] == [
        (0, [0, 1, 2], [1, 2, 3]),
        (3, [3, 4], [4, 5]),
        (5, [5, 6], [6, 6]),
    ]
