"""Counting and ranking by NumPy, on cases that can be checked by hand and by properties."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensieve import TokensieveError, excess, kept_count, kept_weights, ppm_of, weighted_loss


@given(st.integers(0, 1_000_000), st.integers(1, 2**50))
def test_counts_are_exact(ppm, eligible):
    assert kept_count(ppm, eligible) == max(1, floor(Fraction(ppm, 1_000_000) * eligible))
    assert kept_count(ppm, eligible, "ceil") == max(1, -floor(-Fraction(ppm, 1_000_000) * eligible))


def test_floating_point_would_count_wrongly():
    # 0.29 · 100 is 28.999999999999996 in fp64.
    assert kept_count(ppm_of(0.29), 100) == 29
    assert kept_count(ppm_of(0.000001), 5) == 1
    assert kept_count(ppm_of(0.6), 0) == 0


@pytest.mark.parametrize("keep", [-0.1, 1.1, float("nan"), float("inf"), 0.1234567])
def test_shares_that_are_none(keep):
    with pytest.raises(TokensieveError, match="six decimals"):
        ppm_of(keep)


def test_ties_go_to_the_earlier():
    assert kept_weights([1, 2, 2, 2, 0], [1, 1, 1, 1, 1], 0.4).tolist() == [0, 1, 1, 0, 0]
    assert kept_weights([9, 2, 2, -0.0, 0.0], [0, 1, 0, 1, 1], 0.7).tolist() == [0, 1, 0, 1, 0]


@given(st.lists(st.tuples(st.floats(-5, 5, width=32), st.booleans()), min_size=1, max_size=30), st.integers(1, 10**6))
def test_nothing_dropped_scores_above_anything_kept(tokens, ppm):
    score, eligible = np.array([s for s, _ in tokens], np.float32), np.array([e for _, e in tokens])
    weights = kept_weights(score, eligible, ppm / 1e6)
    kept, dropped = weights > 0, eligible & (weights == 0)
    assert not (kept & ~eligible).any()
    assert kept.sum() == kept_count(ppm, int(eligible.sum()))
    if kept.any() and dropped.any():
        assert score[kept].min() >= score[dropped].max()


def test_excess_is_fp32():
    assert excess([16777217.0], [1.0]).tolist() == [16777215.0]


def test_the_loss_of_weights():
    losses, eligible = np.array([np.nan, 1, 2, np.inf]), np.array([0, 1, 1, 1])
    weights = np.array([5, 0.5, 1.5, 0])
    assert weighted_loss(weights, losses, eligible) == pytest.approx(3.5 / 2)
    assert weighted_loss(weights, losses, eligible, "eligible") == pytest.approx(3.5 / 3)
    assert np.isnan(weighted_loss(np.zeros(4), losses, eligible))
