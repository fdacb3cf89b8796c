"""Scores tokens with PyTorch and transformers on CPU: the rival of the scoring benchmark.

What it does is what the product does: per-token cross-entropy of rows of ids under a causal model, fp32, no
gradients, SDPA attention. Every combination of
  run   eager | compile    torch.compile with fixed shapes, its compilation not counted
  loss  naive | chunked    all logits at once, or hidden states first and logits in chunks of 64 MB
  batch rows a call
is measured in a process of its own, so that peak memory is its own and a failure (say, of memory) is one entry
with "error" and not the end. Prints one JSON object: every configuration, and the best by tokens/s.

Run:  python bench/torch/score.py FOLDER --sequence-length 512 --batch-sizes 1,2,4,8 --threads 2
        [--ids FILE]       raw little-endian int32 ids, cut into rows of the sequence length (default: random ids)
        [--losses FILE]    writes the best configuration's losses of those rows, raw float32 [rows, T - 1]
        [--runs eager,compile] [--heads naive,chunked] [--seconds 10] [--rounds 3]
Made with: torch 2.15.0, transformers 5.23.0. torch.compile needs a C++ compiler on the path.
"""

import argparse
import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import product
from pathlib import Path

CHUNK_BYTES = 64 * 2**20


def peak_rss() -> int:
    """Bytes. VmHWM, unlike getrusage's ru_maxrss, does not carry over what the parent had."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def read_rows(args):
    """[rows, T] int64: at least the largest batch."""
    import numpy as np
    import torch
    from transformers import AutoConfig

    rows = max(args.batch_sizes)
    if args.ids is None:
        vocabulary = AutoConfig.from_pretrained(args.folder).vocab_size
        return torch.randint(vocabulary, (rows, args.sequence_length), generator=torch.Generator().manual_seed(0))
    ids = np.fromfile(args.ids, dtype="<i4").astype(np.int64)
    whole = len(ids) // args.sequence_length
    if whole < rows:
        sys.exit(f"{args.ids}: {len(ids)} ids, fewer than {rows} rows of {args.sequence_length}")
    return torch.from_numpy(ids[: whole * args.sequence_length]).view(whole, args.sequence_length)


def scorer(model, head: str):
    """ids [B, T] -> loss [B, T - 1]."""
    import torch
    from torch.nn.functional import cross_entropy

    def naive(ids):
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        return cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")

    def chunked(ids):
        states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
        targets = ids[:, 1:].flatten()
        output = model.get_output_embeddings()
        size = max(1, CHUNK_BYTES // (4 * output.weight.shape[0]))
        losses = [
            cross_entropy(output(s), t, reduction="none") for s, t in zip(states.split(size), targets.split(size))
        ]
        return torch.cat(losses).view(ids.shape[0], -1)

    return {"naive": naive, "chunked": chunked}[head]


def measure(args, run: str, head: str, batch: int, keep_losses: bool = False) -> dict:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(args.threads)
    found = {"run": run, "loss": head, "batch": batch}
    try:
        model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32, attn_implementation="sdpa")
        score = scorer(model.eval(), head)
        if run == "compile":
            score = torch.compile(score, dynamic=False)
        rows = read_rows(args)
        if keep_losses:
            with torch.inference_mode():
                whole = len(rows) - len(rows) % batch  # a compiled scorer takes full batches only
                torch.cat([score(part) for part in rows[:whole].split(batch)]).numpy().tofile(args.losses)
            return found
        ids = rows[:batch]
        with torch.inference_mode():
            started = time.perf_counter()
            mean = score(ids).mean().item()
            found |= {"mean_loss": mean, "first_call_s": time.perf_counter() - started}
            score(ids)
            found |= {"tokens_per_s": steady_rate(lambda: score(ids), ids.numel(), args), "rss_peak": peak_rss()}
    except Exception as error:  # noqa: BLE001 a configuration that cannot run is a result
        found["error"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return found


def steady_rate(call, tokens: int, args) -> float:
    """Tokens/s of the best of several rounds: other load on the machine only ever slows one down."""
    best = 0.0
    for _ in range(args.rounds):
        calls, started = 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - started < args.seconds / args.rounds:
            call()
            calls += 1
        best = max(best, calls * tokens / (time.perf_counter() - started))
    return best


def parse():
    names = lambda text: text.split(",")  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--sequence-length", type=int, default=512)
    parser.add_argument("--batch-sizes", type=lambda text: [int(n) for n in names(text)], default=[1, 2, 4, 8])
    parser.add_argument("--threads", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--runs", type=names, default=["eager", "compile"])
    parser.add_argument("--heads", type=names, default=["naive", "chunked"])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ids")
    parser.add_argument("--losses")
    return parser.parse_args()


def alone(args, run: str, head: str, batch: int, keep_losses: bool = False) -> dict:
    """`measure` in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(measure, args, run, head, batch, keep_losses).result()
        except BrokenProcessPool:
            return {"run": run, "loss": head, "batch": batch, "error": "the process was killed, likely for memory"}


def main() -> None:
    args = parse()
    results = []
    for config in product(args.runs, args.heads, args.batch_sizes):
        results.append(alone(args, *config))
        print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    best = max(results, key=lambda r: r.get("tokens_per_s", 0))
    if args.losses is not None and "error" not in best:
        alone(args, best["run"], best["loss"], best["batch"], True)
    import torch
    import transformers

    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "python": sys.version.split()[0]}
    settings = {"sequence_length": args.sequence_length, "threads": args.threads, "dtype": "float32"}
    print(json.dumps({"versions": versions, "settings": settings, "results": results, "best": best}, indent=1))


if __name__ == "__main__":
    main()
