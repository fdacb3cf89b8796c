#!/usr/bin/env python3
"""Slow, obvious reference of token selection, and the maker of conformance/vectors.

What it does: sorts every scope whole, counts with fractions, rounds with IEEE fp32. It shares no code with
the package. Ordinary Python 3.9 or later, no dependency.

    python3 conformance/reference.py --write   makes vectors/<case>.json for every case below
    python3 conformance/reference.py           checks every vector in vectors/, the hand-written ones too

Made with Python 3.11.
"""

import hashlib
import json
import math
import pathlib
import random
import struct
import sys
from fractions import Fraction

FOLDER = pathlib.Path(__file__).parent / "vectors"
DEFAULTS = {
    "keep": 0.6, "rounding": "floor", "seed": 0, "alpha": 0.1, "temperature": 1, "probability": "softmax",
    "unit": "sequence", "domain_rate": 1, "domain_smoothing": 0.001, "allow_constant": False,
}
COLUMNS = ("reference_loss", "current_loss", "reference_entropy", "current_entropy")
SCORES = {
    "excess": (("current_loss", "reference_loss"), lambda c, r: c - r),
    "current-loss": (("current_loss",), lambda c: c),
    "current-entropy": (("current_entropy",), lambda c: c),
    "reference-loss": (("reference_loss",), lambda r: -r),
    "reference-entropy": (("reference_entropy",), lambda r: -r),
}
NEVER = float("-inf")


class Refused(Exception):
    pass


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def count(fraction, n, rounding):
    exact = Fraction(str(fraction)) * n
    return math.ceil(exact) if rounding == "ceil" else math.floor(exact)


def kept_count(s, n):
    return 0 if n == 0 else max(1, count(s["keep"], n, s["rounding"]))


# --- random words: Philox4x32-10 (Salmon et al. 2011) -------------------------------------------------------

def philox(counter, key):
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k1, p0 & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def word(seed, token):
    digest = hashlib.sha256(f"tokensieve\n{seed}\n{token['shard']}".encode()).digest()
    key = struct.unpack("<II", digest[:8])
    row, position = token["row"], token["position"]
    return philox((position // 4, row & 0xFFFFFFFF, row >> 32, token["part"]), key)[position % 4]


# --- the data set as one list of tokens in global order -----------------------------------------------------

def tokens_of(parts, needed):
    tokens = []
    for p, part in enumerate(parts):
        for r, row in enumerate(part["rows"]):
            names = needed or [name for name in COLUMNS if name in row]
            for name in names:
                if name not in row:
                    raise Refused("missing-column")
            documents = [d for d, n in row.get("documents", []) for _ in range(n)]
            for i in range(len(row[names[0]])):
                values = [row[name][i] for name in names]
                if any(v is not None and not abs(f32(v)) <= 2.0**100 for v in values):
                    raise Refused("infinite-loss")
                if len({v is None for v in values}) > 1:
                    raise Refused("eligibility-differs")
                token = {"shard": part["shard"], "part": part["part"], "p": p, "r": r, "row": row.get("id", r),
                         "position": i, "eligible": values[0] is not None,
                         "document": documents[i] if documents else None}
                for name in COLUMNS:
                    if name in row and row[name][i] is not None:
                        token[name] = f32(row[name][i])
                tokens.append(token)
    return tokens


def windows(tokens, parts, size):
    """Whole rows, as many as fit, never across parts: a list of lists of tokens."""
    found = []
    for p, part in enumerate(parts):
        room = 0
        for r in range(len(part["rows"])):
            row = [t for t in tokens if t["p"] == p and t["r"] == r]
            if size is not None and len(row) > size:
                raise Refused("window-too-small")
            if size is None or r == 0 or len(row) > room:
                found.append([])
                room = size or 0
            room -= len(row)
            found[-1].extend(row)
    return found


def scopes(tokens, parts, scope):
    if scope == "sequence":
        return windows(tokens, parts, None)
    if scope.startswith("window"):
        return windows(tokens, parts, int(scope[7:] or 2**20) if ":" in scope else 2**20)
    if scope == "shard":
        names = list(dict.fromkeys(t["shard"] for t in tokens))
        return [[t for t in tokens if t["shard"] == name] for name in names]
    return [tokens]


def score(name):
    columns, formula = SCORES[name]
    return list(columns), lambda t: f32(formula(*(t[c] for c in columns)))


def ranked(group, key, low, high):
    """The elements of ranks [low, high), highest key first, the earlier element first among equals."""
    eligible = [e for e in group if e["eligible"]]
    order = sorted((e for e in eligible if key(e) != NEVER), key=lambda e: -key(e))  # stable
    return order[low:high]


# --- the methods --------------------------------------------------------------------------------------------

def select(settings, parts):
    """Weights as [parts][rows][tokens], fp64 before the rounding to fp32, and the divisor's rule."""
    s = {**DEFAULTS, **settings}
    method = s["method"]
    default_scope = "shard" if method in ("rho-loss", "miniplm") and s["unit"] == "document" else "window"
    scope = s.get("scope", default_scope)
    weights = {}
    normaliser = "eligible" if method == "dft" else "weights"

    def give(chosen, weight=1):
        for t in chosen:
            weights[id(t)] = weight

    def constant(tokens, *keys):
        for key in keys:
            values = [key(t) for t in tokens if t["eligible"]]
            if len(values) > 1 and len(set(values)) == 1 and not s["allow_constant"]:
                raise Refused("constant-scores")

    if method in ("slm", "reference-loss", "reference-entropy"):
        columns, key = score({"slm": "excess"}.get(method, method))
        tokens = tokens_of(parts, columns)
        constant(tokens, key)
        for group in scopes(tokens, parts, scope):
            give(ranked(group, key, 0, kept_count(s, sum(t["eligible"] for t in group))))
    elif method in ("reference-intersection", "reference-union"):
        tokens = tokens_of(parts, ["reference_loss", "reference_entropy"])
        keys = [score("reference-loss")[1], score("reference-entropy")[1]]
        constant(tokens, *keys)
        for group in scopes(tokens, parts, scope):
            k = kept_count(s, sum(t["eligible"] for t in group))
            a, b = ({id(t) for t in ranked(group, key, 0, k)} for key in keys)
            both = a & b if method == "reference-intersection" else a | b
            give([t for t in group if id(t) in both])
    elif method == "threshold":
        columns, key = score(s.get("score", "excess"))
        tokens = tokens_of(parts, columns)
        constant(tokens, key)
        give([t for t in tokens if t["eligible"] and key(t) >= f32(s["threshold"])])
    elif method == "clm":
        tokens = tokens_of(parts, [])
        give([t for t in tokens if t["eligible"]])
    elif method == "random":
        tokens = tokens_of(parts, [])
        for group in scopes(tokens, parts, scope):
            k = kept_count(s, sum(t["eligible"] for t in group))
            give(ranked(group, lambda t: (word(s["seed"], t) >> 8) / 2**24, 0, k))
    elif method == "band":
        columns, key = score(s.get("score", "excess"))
        tokens = tokens_of(parts, columns)
        constant(tokens, key)
        for group in scopes(tokens, parts, scope):
            n = sum(t["eligible"] for t in group)
            if n > 0:
                low = min(count(s["band"][0], n, s["rounding"]), n - 1)
                give(ranked(group, key, low, max(low + 1, count(s["band"][1], n, s["rounding"]))))
    elif method == "sampled":
        columns, key = score("excess")
        tokens = tokens_of(parts, columns)
        constant(tokens, key)

        def drawn(t):
            gumbel = -math.log(-math.log((word(s["seed"], t) + 0.5) / 2**32))
            if s["probability"] == "relu":
                return f32(math.log(key(t)) + gumbel) if key(t) > 0 else NEVER
            return f32(key(t) / s["temperature"] + gumbel)

        for group in scopes(tokens, parts, scope):
            give(ranked(group, drawn, 0, kept_count(s, sum(t["eligible"] for t in group))))
    elif method == "esl":
        columns, key = score(s.get("score", "current-loss"))
        tokens = tokens_of(parts, columns)
        constant(tokens, key)
        for group in scopes(tokens, parts, scope):
            eligible = [t for t in group if t["eligible"]]
            if eligible:
                # The least value v with at least alpha of the values <= v.
                alpha = Fraction(str(s["alpha"]))
                quantile = min(key(v) for v in eligible
                               if Fraction(sum(key(t) <= key(v) for t in eligible), len(eligible)) >= alpha)
                give([t for t in eligible if key(t) >= quantile])
    elif method == "dft":
        tokens = tokens_of(parts, ["current_loss"])
        for t in tokens:
            if t["eligible"]:
                give([t], math.exp(-t["current_loss"]))
    elif method == "soft":
        columns, key = score("excess")
        tokens = tokens_of(parts, columns)
        constant(tokens, key)
        for group in scopes(tokens, parts, scope):
            best = ranked(group, key, 0, kept_count(s, sum(t["eligible"] for t in group)))
            for t in group:
                if t["eligible"]:
                    give([t], 1 / (1 + math.exp(-(key(t) - key(best[-1])) / s["temperature"])))
    elif method in ("rho-loss", "miniplm"):
        columns, key = score("excess")
        tokens = tokens_of(parts, columns)

        def units_of(group):
            members = {}
            for t in group:
                members.setdefault((t["p"], t["r"] if s["unit"] == "sequence" else t["document"]), []).append(t)
            units = []
            for own in members.values():
                values = [key(t) for t in own if t["eligible"]]
                total = 0.0
                for v in values:
                    total += v
                units.append({"eligible": bool(values), "tokens": own,
                              "score": f32(total / len(values) if method == "rho-loss" else total) if values else None})
            return units

        constant(units_of(tokens), lambda u: u["score"])
        for group in scopes(tokens, parts, scope):
            units = units_of(group)
            k = kept_count(s, sum(u["eligible"] for u in units))
            for unit in ranked(units, lambda u: u["score"], 0, k):
                give([t for t in unit["tokens"] if t["eligible"]])
    elif method == "domain-weights":
        columns, key = score("excess")
        tokens = tokens_of(parts, columns)
        constant(tokens, key)
        domain = lambda t: parts[t["p"]]["domains"].get(str(t["document"]))
        eligible = [t for t in tokens if t["eligible"]]
        names = sorted({domain(t) for t in eligible}, key=lambda d: (d is None, d or ""))
        if len(names) == 1 and not s["allow_constant"]:
            raise Refused("one-domain")
        alpha = {d: 1 / len(names) for d in names}
        last = {d: 0.0 for d in names}
        history = []
        for group in scopes(tokens, parts, scope):
            for d in names:
                own = [max(key(t), 0.0) for t in group if t["eligible"] and domain(t) == d]
                last[d] = sum(own) / len(own) if own else last[d]
            if not any(t["eligible"] for t in group):
                continue
            raised = {d: alpha[d] * math.exp(s["domain_rate"] * last[d]) for d in names}
            c = s["domain_smoothing"]
            alpha = {d: (1 - c) * raised[d] / sum(raised.values()) + c / len(names) for d in names}
            history.append(alpha)
        for d in names:
            own = [t for t in eligible if domain(t) == d]
            give(own, sum(a[d] for a in history) / len(history) * len(eligible) / len(own))
    else:
        raise SystemExit(f"no method {method}")

    out = [[[] for _ in part["rows"]] for part in parts]
    top = bottom = 0.0
    for t in tokens:
        weight = weights.get(id(t), 0)
        out[t["p"]][t["r"]].append(weight)
        if t["eligible"]:
            # A stored weight is fp32, and the loss is that of the stored weights.
            top += f32(weight) * t.get("current_loss", 0.0)
            bottom += f32(weight) if normaliser == "weights" else 1
    has_loss = all("current_loss" in row for part in parts for row in part["rows"])
    return out, (top / bottom if has_loss and bottom else None), normaliser


def expected(settings, parts):
    try:
        weights, loss, normaliser = select(settings, parts)
    except Refused as refusal:
        return {"error": str(refusal)}
    return {"weights": weights, "normaliser": normaliser, "loss": loss}


# --- the cases ----------------------------------------------------------------------------------------------

def row(reference, current, documents=None, **more):
    made = {"reference_loss": reference, "current_loss": current, **more}
    if documents:
        made["documents"] = documents
    return made


def corpus(seed, step, shapes=((("a", 0), (7, 7, 4)), (("a", 1), (7, 3)), (("b", 0), (5, 7)))):
    """Random losses in multiples of `step` (coarse ones give many ties), first tokens and padding without."""
    rng = random.Random(seed)
    draw = lambda high: round(rng.uniform(0, high) / step) * step
    parts = []
    for (shard, part), lengths in shapes:
        rows = []
        document = 0
        for length in lengths:
            gaps = {0} | ({length - 1} if rng.random() < 0.3 else set())
            column = lambda high: [None if i in gaps else draw(high) for i in range(length)]
            cut = rng.randrange(1, length)
            rows.append(row(column(4), column(5), [[document, cut], [document + 1, length - cut]],
                            reference_entropy=column(3), current_entropy=column(3)))
            document += 1  # a document goes on in the next row
        domains = {str(d): ["web", "book", "code", None][d % 4] for d in range(document + 1)}
        parts.append({"shard": shard, "part": part, "rows": rows, "domains": domains})
    return parts


def one(*rows):
    return [{"shard": "s", "part": 0, "rows": list(rows)}]


def cases():
    scoped = ["sequence", "window:11", "shard", "dataset"]
    variants = {
        "slm": {}, "reference-loss": {}, "reference-entropy": {}, "reference-intersection": {},
        "reference-union": {}, "random": {"seed": 7}, "band": {"band": [0.2, 0.6]}, "soft": {"temperature": 0.5},
        "sampled": {"seed": 3, "keep": 0.4}, "esl": {"alpha": 0.3},
    }
    for method, more in variants.items():
        for scope in scoped:
            for grid, step in (("ties", 0.5), ("fine", 2.0**-12)):
                yield (f"{method}-{scope.replace(':', '-')}-{grid}", f"{method} in scope {scope}",
                       {"method": method, "scope": scope, **more}, corpus(hash_of(method + grid), step))
    for unit in ("sequence", "document"):
        for method in ("rho-loss", "miniplm"):
            for scope in scoped[2:] if unit == "document" else scoped[1:]:
                yield (f"{method}-{unit}-{scope.replace(':', '-')}", f"whole {unit}s by {method} in scope {scope}",
                       {"method": method, "unit": unit, "scope": scope, "keep": 0.4}, corpus(hash_of(unit + method), 0.25))
    data = corpus(11, 0.5)
    for rounding in ("floor", "ceil"):
        for keep in (0.000001, 0.35, 0.5, 0.999999, 1):
            yield (f"rounding-{rounding}-{keep:f}".rstrip("0").rstrip("."), f"{rounding} of {keep} of the eligible tokens",
                   {"method": "slm", "scope": "dataset", "keep": keep, "rounding": rounding}, data)
        for method, more in (("band", {"band": [0.15, 0.45]}), ("reference-loss", {"keep": 0.3}), ("random", {"keep": 0.3})):
            yield (f"rounding-{rounding}-{method}", f"{rounding}, {method}",
                   {"method": method, "scope": "sequence", "rounding": rounding, **more}, data)
    for name in SCORES:
        yield (f"threshold-{name}", f"threshold on {name}",
               {"method": "threshold", "score": name, "threshold": -1.5 if name.startswith("reference") else 0.5}, data)
        yield (f"band-{name}", f"band of {name}",
               {"method": "band", "score": name, "band": [0.5, 1], "scope": "shard"}, data)
    yield "esl-entropy", "esl by entropy", {"method": "esl", "score": "current-entropy", "alpha": 0.5, "scope": "dataset"}, data
    yield "esl-alpha-0", "esl with alpha 0 keeps all", {"method": "esl", "alpha": 0, "scope": "dataset"}, data
    yield "sampled-relu", "sampled in proportion to max(excess, 0)", {"method": "sampled", "probability": "relu", "keep": 0.3, "scope": "dataset"}, data
    yield "sampled-relu-few", "fewer tokens have a chance than are to be kept", {"method": "sampled", "probability": "relu", "keep": 1, "scope": "sequence"}, data
    yield "sampled-cold", "a low temperature comes close to slm", {"method": "sampled", "temperature": 0.05, "keep": 0.3, "scope": "dataset"}, corpus(12, 0.25)
    yield "clm", "every eligible token", {"method": "clm"}, data
    yield "dft", "divided by the eligible tokens", {"method": "dft"}, data
    yield "domain-weights", "one step a window", {"method": "domain-weights", "scope": "window:7"}, data
    yield "domain-weights-fast", "a large step and no smoothing", {"method": "domain-weights", "scope": "window:14", "domain_rate": 5, "domain_smoothing": 0}, data
    yield "random-seed-0", "another seed, another draw", {"method": "random", "scope": "dataset"}, data
    wide = corpus(13, 0.5)
    for part in wide:
        for r, entry in enumerate(part["rows"]):
            entry["id"] = 2**33 + 5 + r
    yield "random-large-rows", "rows beyond 32 bits are part of the key", {"method": "random", "scope": "dataset"}, wide

    N = None
    yield "empty-row", "a row without an eligible token keeps nothing", {"method": "slm", "scope": "sequence", "keep": 0.5}, one(
        row([N, N, N], [N, N, N]), row([N, 1.0, 2.0], [N, 2.0, 2.5]))
    yield "nothing-eligible", "no loss anywhere: nothing kept, no loss", {"method": "slm"}, one(row([N, N], [N, N]))
    yield "one-eligible", "one token is no constant data set", {"method": "slm"}, one(row([N, 1.0], [N, 1.0]))
    yield "padding-inside", "ineligible tokens do not count, wherever they stand", {"method": "slm", "keep": 0.5}, one(
        row([N, 1.0, N, 1.0, 1.0, N, 1.0, N], [N, 4.0, N, 3.0, 2.0, N, 1.0, N]))
    yield "constant", "equal scores are refused", {"method": "slm"}, one(row([N, 1.0, 2.0], [N, 1.5, 2.5]))
    yield "constant-dataset-wide", "equal within a row, not over the data set", {"method": "slm", "scope": "sequence", "keep": 0.5}, one(
        row([N, 1.0, 1.0], [N, 2.0, 2.0]), row([N, 1.0, 1.0], [N, 3.0, 3.0]))
    yield "constant-allowed", "equal scores, allowed: the earliest tokens", {"method": "slm", "keep": 0.5, "allow_constant": True}, one(
        row([N, 1.0, 2.0, 3.0, 1.0], [N, 1.0, 2.0, 3.0, 1.0]))
    yield "signed-zeros", "-0 and +0 tie", {"method": "reference-loss", "keep": 0.5}, one(
        row([N, 0.0, -0.0, 0.0, 1.0], [N, 1.0, 1.0, 1.0, 1.0]))
    yield "fp32-difference", "two differences that are equal in fp32 and not in fp64 tie", {"method": "slm", "keep": 0.5}, one(
        row([N, f32(1e-8), f32(0.0), 1.5], [N, 1.0, 1.0, 1.0]))
    yield "threshold-fp32", "0.7 as a threshold keeps the fp32 number nearest to 0.7, which is below it", {"method": "threshold", "score": "current-loss", "threshold": 0.7}, one(
        row([N, 1.0, 1.0, 1.0], [N, f32(0.7), f32(0.69999), 1.0]))
    ragged = one(*(row([N] + [1.0] * (n - 1), [N] + [float((7 * n + i) % 5) for i in range(n - 1)]) for n in (4, 5, 3, 2, 9, 1, 9)))
    yield "window-ragged", "windows are whole rows and never pass their size", {"method": "slm", "scope": "window:9", "keep": 0.4}, ragged
    yield "window-too-small", "a row longer than the window is refused", {"method": "slm", "scope": "window:8"}, ragged
    yield "eligibility-differs", "a loss on one side only is refused", {"method": "slm"}, one(row([N, 1.0, N], [N, 1.0, 2.0]))
    yield "eligibility-unread", "a column that the method does not read may differ", {"method": "reference-loss", "keep": 0.5}, one(
        row([N, 1.0, 3.0], [N, 1.0, N]))
    yield "missing-entropy", "a method refuses a file without its column", {"method": "reference-entropy"}, one(row([N, 1.0], [N, 1.0]))
    yield "overflow", "a loss of 1e35 nats is refused", {"method": "slm"}, one(row([N, 1.0, 2.0], [N, 1e35, 2.0]))
    yield "one-domain", "one domain is nothing to weigh by", {"method": "domain-weights"}, [
        {**one(row([N, 1.0, 2.0], [N, 2.0, 2.0], [[0, 3]]))[0], "domains": {"0": "web"}}]


def hash_of(text):
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def same(a, b):
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return a is not None and b is not None and math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    return a == b


def write():
    FOLDER.mkdir(exist_ok=True)
    for name, about, settings, parts in cases():
        vector = {"about": about, "settings": settings, "parts": parts, "expected": expected(settings, parts)}
        (FOLDER / f"{name}.json").write_text(dumps(vector) + "\n")


def dumps(vector):
    """One line a column: readable, and a changed weight is one changed line."""
    text = json.dumps(vector, indent=1)
    lines, depth = [], 0
    for line in text.split("\n"):
        bare = line.strip()
        if depth:
            lines[-1] += ("" if lines[-1].endswith("[") or bare.startswith("]") else " ") + bare
            depth += bare.count("[") - bare.count("]")
        else:
            lines.append(line)
            if bare.endswith("[") and not bare.startswith(('"parts"', '"rows"')):
                depth = 1
    return "\n".join(lines)


def check():
    wrong = 0
    paths = sorted(FOLDER.glob("*.json"))
    for path in paths:
        vector = json.loads(path.read_text())
        got = expected(vector["settings"], vector["parts"])
        want = vector["expected"]
        if got.keys() != want.keys() or not all(same(got[key], want[key]) for key in want):
            wrong += 1
            print(f"{path.name}: the reference gives {json.dumps(got)}, the vector says {json.dumps(want)}")
    print(f"{len(paths)} vectors, {wrong} differ")
    return wrong


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    sys.exit(1 if check() else 0)
