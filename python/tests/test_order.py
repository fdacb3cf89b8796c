"""The order of rows, against the trainer's own and against permutations by hand."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import FIXTURES
from tokensieve import open_run
from tokensieve.order import OrderRules, permutation, philox_key, philox_words, rows_of_window, windows_from


def test_philox_is_the_papers():
    # Known answers of Random123 (kat_vectors), philox4x32-10.
    assert [hex(int(w)) for w in philox_words(1, 0, 0, 0, (0, 0))] == [
        "0x6627e8d5",
        "0xe169c58d",
        "0xbc57ac4c",
        "0x9b00dbd8",
    ]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 1000])
def test_permutations_are_permutations(n):
    key = philox_key(3, "x")
    assert sorted(permutation(n, key, 0, 0, 0).tolist()) == list(range(n))
    assert np.array_equal(permutation(n, key, 1, 2, 3), permutation(n, key, 1, 2, 3))


@pytest.mark.parametrize("index", range(4))
def test_rows_come_in_the_trainers_order(golden, index):
    order = golden["orders"][index]
    run = open_run(FIXTURES / order["kind"])
    rules = OrderRules(order["seed"], order["shuffle_tokens"])
    sizes = [(part.sequences, part.tokens) for part in run.parts]
    places = [(part.shard, part.part, row) for part in run.parts for row in range(part.sequences)]
    starts = np.cumsum([0, *(rows for rows, _ in sizes)])
    expected = [(row["shard"], row["part"], row["row"]) for row in order["rows"]]
    for drawn in range(len(expected)):
        found = []
        for window, skip in windows_from(sizes, rules, drawn):
            own = [places[starts[part] + row] for part in window.parts for row in range(sizes[part][0])]
            found += [own[place] for place in rows_of_window(window, rules)[skip:]]
            if len(found) >= len(expected) - drawn:
                break
        assert found[: len(expected) - drawn] == expected[drawn:]
