"""
tokensieve's Arrow files in Python: read and verify them, and train on their token weights with PyTorch.

Reading needs no torch; the data set and the losses do, and are loaded when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import TokensieveError
from .run import Run, open_run
from .selection import excess, kept_count, kept_weights, ppm_of, weighted_loss
from .sequences import Batch, Segments, Sequence
from .verify import Report, verify

if TYPE_CHECKING:
    from .data import SelectiveDataset, pad_rows
    from .losses import (
        live_selective_loss,
        live_selective_loss_from_hidden,
        live_weights,
        selective_loss,
        selective_loss_from_hidden,
        step_divisor,
        token_losses,
        token_losses_from_hidden,
    )
    from .scoring import Scores, score
    from .trainer import SelectiveLossMixin, SelectiveTrainer

__version__ = "0.1.0"

_LAZY = {
    "Scores": "scoring",
    "SelectiveDataset": "data",
    "SelectiveLossMixin": "trainer",
    "SelectiveTrainer": "trainer",
    "live_selective_loss": "losses",
    "live_selective_loss_from_hidden": "losses",
    "live_weights": "losses",
    "pad_rows": "data",
    "score": "scoring",
    "selective_loss": "losses",
    "selective_loss_from_hidden": "losses",
    "step_divisor": "losses",
    "token_losses": "losses",
    "token_losses_from_hidden": "losses",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tokensieve' has no attribute {name!r}")
    try:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    except ModuleNotFoundError as error:
        extra = {"torch": "torch", "transformers": "transformers", "accelerate": "transformers"}.get(error.name or "")
        if extra is None:
            raise
        raise ModuleNotFoundError(
            f"tokensieve.{name} needs {error.name}: pip install 'tokensieve[{extra}]'", name=error.name, path=error.path
        ) from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "Batch",
    "Report",
    "Run",
    "Scores",
    "Segments",
    "SelectiveDataset",
    "SelectiveLossMixin",
    "SelectiveTrainer",
    "Sequence",
    "TokensieveError",
    "excess",
    "kept_count",
    "kept_weights",
    "live_selective_loss",
    "live_selective_loss_from_hidden",
    "live_weights",
    "open_run",
    "pad_rows",
    "ppm_of",
    "score",
    "selective_loss",
    "selective_loss_from_hidden",
    "step_divisor",
    "token_losses",
    "token_losses_from_hidden",
    "verify",
    "weighted_loss",
]
