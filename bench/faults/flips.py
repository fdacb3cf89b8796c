"""One flipped bit in a file of a run, then every reader of the Python package.

    python bench/faults/flips.py RUN [--flips 80] [--seed 1]

RUN is a scored and selected run. Prints a table; ends with 1 where a reader took what was damaged and said nothing.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tokensieve import SelectiveDataset, TokensieveError, open_run, verify


def rows(folder: Path) -> list:
    return [
        (
            row.input_ids.tolist(),
            row.weight.tolist() if row.weight is not None else None,
        )
        for row in open_run(folder)
    ]


def batches(folder: Path) -> list:
    return [
        {name: value.tolist() for name, value in row.items()}
        for row in SelectiveDataset(folder)
    ]


def sound(folder: Path) -> list:
    report = verify(folder)
    if report.findings:
        raise TokensieveError("damaged", str(report.findings[0]))
    return [report]


def same(one: list, other: list) -> bool:
    """Losses of what is no target are no numbers, and those are never equal."""
    return repr(one) == repr(other)


READERS = {"open_run": rows, "SelectiveDataset": batches, "verify": sound}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--flips", type=int, default=80)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    silent_at_all = 0
    with tempfile.TemporaryDirectory() as root:
        copy = Path(root) / "run"
        shutil.copytree(args.run, copy)
        kinds = {
            "weighted": next(copy.glob("weighted/**/*.arrow")),
            "weighted manifest": next(copy.glob("weighted/**/*.manifest.json")),
            "scored": next(
                path
                for path in copy.glob("scored/**/*.arrow")
                if "documents" not in path.name
            ),
            "scored manifest": next(copy.glob("scored/**/*.manifest.json")),
            "documents": next(copy.glob("scored/**/*.documents.arrow")),
            "run.json": copy / "run.json",
        }
        folders = {
            "run": copy,
            "scored": copy / "scored",
            "weighted": copy / "weighted",
        }
        print(
            "| file | reader | of | flips | noticed | harmless | silent |\n|---|---|---|---|---|---|---|"
        )
        for kind, path in kinds.items():
            whole = path.read_bytes()
            for name, reader in READERS.items():
                for of, folder in folders.items():
                    if of != "run" and of not in str(path.relative_to(copy)):
                        continue
                    try:
                        answer = reader(folder)
                    except TokensieveError as error:
                        print(
                            f"| {kind} | {name} | {of} | not read: {error.code} |",
                            file=sys.stderr,
                        )
                        continue
                    tally = {"noticed": 0, "harmless": 0, "silent": 0}
                    for _ in range(args.flips):
                        damaged = bytearray(whole)
                        bit = draw.randrange(len(whole) * 8)
                        damaged[bit // 8] ^= 1 << bit % 8
                        path.write_bytes(damaged)
                        try:
                            tally[
                                "harmless" if same(reader(folder), answer) else "silent"
                            ] += 1
                        except TokensieveError:
                            tally["noticed"] += 1
                    path.write_bytes(whole)
                    silent_at_all += tally["silent"]
                    print(
                        f"| {kind} | `{name}` | {of} | {args.flips} | {tally['noticed']} | {tally['harmless']} | {tally['silent']} |",
                        flush=True,
                    )
    return 1 if silent_at_all else 0


if __name__ == "__main__":
    sys.exit(main())
