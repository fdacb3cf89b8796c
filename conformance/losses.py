#!/usr/bin/env python3
"""
Maker and checker of conformance/losses: logits and weights in, loss and gradient out. fp64, by the definitions, sharing no
code with the packages.

    python3 conformance/losses.py --write   makes losses/<case>.json for every case below
    python3 conformance/losses.py           checks that the files are those

Ordinary Python 3.9 or later, no dependency. Made with Python 3.11.
"""

import json
import math
import pathlib
import random
import struct
import sys
from fractions import Fraction

FOLDER = pathlib.Path(__file__).parent / "losses"
VOCABULARY = 4


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def softmax(logits):
    top = max(logits)
    exps = [math.exp(x - top) for x in logits]
    return [e / sum(exps) for e in exps]


def token_loss(logits, target):
    top = max(logits)
    return top + math.log(sum(math.exp(x - top) for x in logits)) - logits[target]


def solve(case):
    batches = case["microbatches"]
    tokens = []  # (micro-batch, row, position, loss), targets only, in order
    for m, batch in enumerate(batches):
        for r, labels in enumerate(batch["labels"]):
            for i in range(1, len(labels)):
                if labels[i] is not None:
                    tokens.append((m, r, i, token_loss(batch["logits"][r][i - 1], labels[i])))
    weight = {}
    if case["selection"] == "frozen":
        weight = {(m, r, i): batches[m]["weights"][r][i] for m, r, i, _ in tokens}
    else:
        group = {"step": lambda t: 0, "microbatch": lambda t: t[0], "sequence": lambda t: t[:2]}[case["scope"]]
        for key in {group(t) for t in tokens}:
            own = [t for t in tokens if group(t) == key]
            score = lambda t: f32(f32(t[3]) - f32(batches[t[0]]["reference_loss"][t[1]][t[2]]))
            kept = max(1, math.floor(Fraction(str(case["keep"])) * len(own)))
            chosen = {t[:3] for t in sorted(own, key=lambda t: -score(t))[:kept]}
            weight.update({t[:3]: 1 if t[:3] in chosen else 0 for t in own})
    divisor = sum(weight.values()) if case["normaliser"] == "weights" else len(tokens)
    shape = lambda value: [
        [[value(m, r, i) for i in range(len(labels))] for r, labels in enumerate(batch["labels"])]
        for m, batch in enumerate(batches)
    ]
    losses = {t[:3]: t[3] for t in tokens}

    def gradient(m, r, position):
        at = (m, r, position + 1)
        if weight.get(at, 0) == 0 or divisor == 0:
            return [0] * VOCABULARY
        labels, logits = batches[m]["labels"][r], batches[m]["logits"][r][position]
        return [weight[at] / divisor * (p - (v == labels[position + 1])) for v, p in enumerate(softmax(logits))]

    total = sum(weight[at] * losses[at] for at in losses if weight[at] != 0)
    return {
        "token_loss": shape(lambda m, r, i: losses.get((m, r, i))),
        "weights": shape(lambda m, r, i: weight.get((m, r, i), 0)),
        "divisor": divisor,
        "loss": total / divisor if divisor != 0 else 0,
        "gradient": shape(gradient),
    }


def batch(rng, lengths, missing=0.2, spread=2.0, weights="fractional"):
    """Logits are quarters: exact in fp32, bf16 and fp16."""
    logits = [[[round(rng.gauss(0, spread) * 4) / 4 for _ in range(VOCABULARY)] for _ in range(n)] for n in lengths]
    labels = [
        [None if i == 0 or rng.random() < missing else rng.randrange(VOCABULARY) for i in range(n)] for n in lengths
    ]
    draw = {
        "fractional": lambda: rng.choice([0, 0.25, 0.5, 1, 1.75]),
        "binary": lambda: rng.choice([0, 1]),
        "zero": lambda: 0,
    }[weights]
    weight = [[0 if label is None else draw() for label in row] for row in labels]
    reference = [[None if label is None else round(rng.random() * 24) / 8 for label in row] for row in labels]
    return {"labels": labels, "logits": logits, "weights": weight, "reference_loss": reference}


def cases():
    rng = random.Random(20240407)
    frozen = {"selection": "frozen", "normaliser": "weights"}
    live = {"selection": "live", "normaliser": "weights"}
    yield "frozen-fractional", "Fractional weights over their sum.", frozen, [batch(rng, [6, 6])]
    yield (
        "frozen-eligible",
        "Fractional weights over the number of targets, as for dft.",
        {**frozen, "normaliser": "eligible"},
        [batch(rng, [6, 6])],
    )
    yield "frozen-binary", "A mask.", frozen, [batch(rng, [6, 6], weights="binary")]
    yield (
        "frozen-microbatches",
        "One divisor for two micro-batches of other weight: a mean of means is wrong.",
        frozen,
        [batch(rng, [6, 6]), batch(rng, [6, 6], missing=0.6)],
    )
    yield "frozen-nothing", "No weight at all: loss and gradient 0, no NaN.", frozen, [batch(rng, [5], weights="zero")]
    yield (
        "frozen-no-target",
        "A micro-batch without a target adds nothing.",
        frozen,
        [batch(rng, [5, 5]), batch(rng, [5, 5], missing=1)],
    )
    yield (
        "frozen-large-logits",
        "Logits of some hundreds: softmax is one-hot.",
        frozen,
        [batch(rng, [6, 6], spread=300.0)],
    )
    for scope in ("sequence", "microbatch", "step"):
        for keep in (0.6, 0.25):
            yield (
                f"live-{scope}-{keep}",
                f"Ranked within scope {scope}.",
                {**live, "scope": scope, "keep": keep},
                [batch(rng, [7, 7]), batch(rng, [7, 7], missing=0.5)],
            )
    one = batch(rng, [8], missing=0)
    one["logits"], one["reference_loss"] = [[[1.0, 0.5, 0.25, 0.0]] * 8], [[None] + [1.0] * 7]
    one["labels"] = [[None] + [2] * 7]
    yield "live-ties", "Equal scores: the earlier tokens are kept.", {**live, "scope": "step", "keep": 0.5}, [one]
    yield (
        "live-one",
        "A share below one token keeps one.",
        {**live, "scope": "step", "keep": 0.000001},
        [batch(rng, [6, 6])],
    )


def made():
    for name, about, settings, batches in cases():
        case = {"about": about, **settings, "microbatches": batches}
        for own in batches:
            own.pop("reference_loss" if settings["selection"] == "frozen" else "weights")
        yield name, {**case, "expected": solve(case)}


def close(a, b):
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(close, a, b))
    return a == b or (
        isinstance(a, (int, float)) and isinstance(b, (int, float)) and math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-15)
    )


if "--write" in sys.argv:
    FOLDER.mkdir(exist_ok=True)
    for name, case in made():
        (FOLDER / f"{name}.json").write_text(json.dumps(case) + "\n")
else:
    wrong = [name for name, case in made() if not close(case, json.loads((FOLDER / f"{name}.json").read_text()))]
    print("\n".join(f"{name}: differs" for name in wrong) or "all as made")
    sys.exit(bool(wrong))
