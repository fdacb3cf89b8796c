"""Selection by NumPy: which tokens are kept, and the loss of a selection. The rules of docs/conventions.md."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .errors import TokensieveError

PPM = 1_000_000
Scope = Literal["sequence", "microbatch", "step"]
Rounding = Literal["floor", "ceil"]
Normaliser = Literal["weights", "eligible"]


def ppm_of(keep: float) -> int:
    """
    A share from 0 to 1 in whole parts per million, so that every machine counts alike.

    Raises TokensieveError `share-too-fine` for more than six decimals, or a share outside 0 to 1.
    """
    ppm = round(keep * PPM) if 0 <= keep <= 1 else -1
    if not 0 <= ppm <= PPM or abs(keep * PPM - ppm) > 1e-3:
        raise TokensieveError(
            "share-too-fine", f"keep is {keep}; expected a fraction from 0 to 1 with at most six decimals"
        )
    return ppm


def kept_count(ppm: int, eligible: int, rounding: Rounding = "floor") -> int:
    """Tokens to keep of `eligible`: `max(1, floor(k · n))` exactly; 0 of none."""
    if eligible == 0:
        return 0
    extra = PPM - 1 if rounding == "ceil" else 0
    return max(1, (ppm * eligible + extra) // PPM)


def kept_weights(
    scores: npt.ArrayLike, eligible: npt.ArrayLike, keep: float, rounding: Rounding = "floor"
) -> npt.NDArray[np.float32]:
    """
    Weight 1 for the kept tokens of each group, else 0: the highest scores, ties to the earlier token.

    `scores`, `eligible`: [groups, tokens], or [tokens] for one group. Scores of tokens that are not eligible are not read.
    """
    given = np.asarray(scores, np.float32)
    score, target = np.atleast_2d(given), np.atleast_2d(np.asarray(eligible, np.bool_))
    weights = np.zeros(score.shape, np.float32)
    ppm = ppm_of(keep)
    for row, own, is_target in zip(weights, score, target, strict=True):
        places = np.flatnonzero(is_target)
        order = places[np.argsort(-own[places], kind="stable")]
        row[order[: kept_count(ppm, len(places), rounding)]] = 1
    return weights.reshape(given.shape)


def excess(current: npt.ArrayLike, reference: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """fp32(current) − fp32(reference), in fp32: the score of a token. High is worth learning."""
    difference: npt.NDArray[np.float32] = np.asarray(current, np.float32) - np.asarray(reference, np.float32)
    return difference


def weighted_loss(
    weights: npt.NDArray[Any],
    losses: npt.NDArray[Any],
    eligible: npt.NDArray[Any],
    normaliser: Normaliser = "weights",
) -> float:
    """
    Σ w·L / Σ w over eligible tokens, or Σ w·L / (their number), in fp64; NaN where the divisor is 0. Losses of
    tokens of weight 0 are not read.
    """
    target = np.asarray(eligible, np.bool_)
    weight = np.where(target, np.asarray(weights, np.float64), 0)
    used = weight != 0
    divisor = float(weight.sum()) if normaliser == "weights" else float(target.sum())
    total = float((weight[used] * np.asarray(losses, np.float64)[used]).sum())
    return total / divisor if divisor != 0 else float("nan")
