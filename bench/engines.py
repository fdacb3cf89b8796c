"""
Tokens per second of the Python engines and of what somebody would pick instead, one model, arms in turn in one process.

    PYTHONPATH=python/src:bench python bench/engines.py FOLDER --length 512 [--seconds 6] [--rounds 3] [--threads 2]

The batch is the best of each rival's. Prints a line an arm: median tokens/s of the rounds, all rounds, the largest and the mean
difference from PyTorch in float32.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers
from rivals.openvino_scorer import open_scorer
from tokensieve.engine import openvino_engine, torch_engine
from tokensieve.engine.job import Job, Model, Rows

Arm = Callable[[Any], Any]


def engine(module: Any, folder: str, length: int, precision: str, threads: int, **options: Any) -> Arm:
    job = Job((Model("model", folder, None, None),), "cpu", 0, precision, threads, length, "across", ("loss",), options)
    opened = module.open_engine(job)
    return lambda ids: np.stack(opened.score(Rows(list(ids.astype(np.int32)), None))["model"]["loss"])


def rival(folder: str, length: int, precision: str, threads: int, rows: int) -> Arm:
    score = open_scorer(folder, rows, length, precision, threads)
    return lambda ids: np.concatenate([score(ids[at : at + rows]) for at in range(0, len(ids), rows)])


def rate(arm: Arm, ids: Any, seconds: float) -> float:
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        arm(ids)
        done += ids.size
    return done / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", default="1,2,4,8")
    parser.add_argument("--rows", type=int, default=16)
    own = parser.parse_args()
    ids = np.random.default_rng(0).integers(
        0, transformers.AutoConfig.from_pretrained(own.folder).vocab_size, (own.rows, own.length)
    )
    place = (own.folder, own.length)
    arms: dict[str, Arm] = {
        "openvino bf16": engine(openvino_engine, *place, "bf16", own.threads),
        "openvino fp32": engine(openvino_engine, *place, "fp32", own.threads),
        "torch bf16 compiled": engine(torch_engine, *place, "bf16", own.threads, compile=True),
        "torch fp32": engine(torch_engine, *place, "fp32", own.threads),
    }
    for precision in ("bf16", "f32"):
        found = {rows: rival(*place, precision, own.threads, rows) for rows in map(int, own.batches.split(","))}
        for arm in found.values():
            arm(ids)
        best = max(found, key=lambda rows: rate(found[rows], ids, own.seconds / 2))
        arms[f"rival OpenVINO {precision}, {best} rows"] = found[best]
    truth = arms["torch fp32"](ids)
    off = {name: np.abs(arm(ids) - truth) for name, arm in arms.items()}
    rounds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(own.rounds):
        for name, arm in arms.items():
            rounds[name].append(rate(arm, ids, own.seconds))
    print(
        f"torch {torch.__version__}, transformers {transformers.__version__}, {own.threads} threads, rows of {own.length}"
    )
    for name, rates in rounds.items():
        shown = " ".join(f"{one:.0f}" for one in rates)
        print(
            f"{name:28} {statistics.median(rates):8.0f}  ({shown})  off {off[name].max():.2e}, mean {off[name].mean():.2e}"
        )


if __name__ == "__main__":
    main()
