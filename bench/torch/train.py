"""Trains a causal model with PyTorch and transformers on CPU: the rival of the training benchmark.

What it does is what the product does: optimiser steps of a fixed number of tokens, fp32, SDPA attention; gradients of
micro-batches added up, clipped by their global norm, AdamW fused, decay on matrices alone. Objectives:
  clm  the mean loss of every token;
  slm  the mean loss of the 60% of the step's tokens whose loss exceeds its stored reference loss the most, selected by
       the model as it is: within one forward pass where a step is one micro-batch, else by a pass before.
Every combination of
  run   eager | compile    torch.compile of forward and backward with fixed shapes, its compilation not counted
  loss  naive | chunked    all logits at once; or in chunks of 64 MB that the backward pass computes again
                           (torch.utils.checkpoint), with slm those of selected tokens only
  rows  a micro-batch
is measured in a process of its own, so that peak memory is its own and a failure (say, of memory) is one entry
with "error" and not the end. Prints one JSON object: every configuration, and the best of each objective by tokens/s.

Run:  python bench/torch/train.py FOLDER --sequence-length 512 --tokens 4096 --rows 1,2,4,8 --threads 2
        [--ids FILE]       raw little-endian int32 ids, cut into rows of the sequence length (default: random ids)
        [--objectives clm,slm] [--runs eager,compile] [--heads naive,chunked] [--seconds 20] [--rounds 3]
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

from score import CHUNK_BYTES, peak_rss, read_rows, steady_rate

KEEP_PPM = 600_000


def load_model(folder: str):
    """In evaluation mode: dropout, where a configuration has any, is no part of the comparison."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    return model.eval()


def optimizer_of(model):
    import torch

    groups = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-5, betas=(0.9, 0.95), eps=1e-8, fused=True)


def losses_by(model, head: str):
    """(states [n, H], targets [n]) -> losses [n]."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.utils.checkpoint import checkpoint

    output = model.get_output_embeddings()
    size = max(1, CHUNK_BYTES // (4 * output.weight.shape[0]))
    piece = lambda states, targets: cross_entropy(output(states), targets, reduction="none")  # noqa: E731

    def chunked(states, targets):
        return torch.cat(
            [checkpoint(piece, s, t, use_reentrant=False) for s, t in zip(states.split(size), targets.split(size))]
        )

    return {"naive": piece, "chunked": chunked}[head]


def selected(score):
    """score [n] -> the places of the kept tokens."""
    return score.topk(max(1, KEEP_PPM * score.numel() // 1_000_000)).indices


def objectives(model, head: str):
    """The functions that torch.compile is given; ids [B, T], reference and weight [B·(T − 1)]."""
    import torch

    losses = losses_by(model, head)

    def body(ids):
        states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        return states.flatten(0, 1), ids[:, 1:].flatten()

    def every(ids):
        return losses(*body(ids))

    def clm(ids):
        return every(ids).sum()

    def weighted(ids, weight):
        return (losses(*body(ids)) * weight).sum()

    def slm(ids, reference):
        """Sum over the tokens that this micro-batch, a whole step, selects."""
        states, targets = body(ids)
        if head == "naive":
            loss = losses(states, targets)
            return loss[selected(loss.detach() - reference)].sum()
        with torch.no_grad():
            kept = selected(losses(states, targets) - reference)
        return losses(states[kept], targets[kept]).sum()

    return {"every": every, "clm": clm, "weighted": weighted, "slm": slm}


def stepper(model, optimizer, objective: str, run: str, head: str, ids, reference):
    """One optimiser step over ids [A, B, T] with reference losses [A, B·(T − 1)] -> its mean loss."""
    import torch

    functions = objectives(model, head)
    if run == "compile":
        functions = {name: torch.compile(f, dynamic=False) for name, f in functions.items()}
    tokens = reference.numel()
    kept = tokens if objective == "clm" else max(1, KEEP_PPM * tokens // 1_000_000)

    def micro_losses():
        if objective == "clm":
            return (functions["clm"](part) for part in ids)
        if len(ids) == 1:
            return (functions["slm"](part, own) for part, own in zip(ids, reference))
        with torch.no_grad():
            score = torch.cat([functions["every"](part) for part in ids]) - reference.flatten()
        weight = torch.zeros(tokens)
        weight[selected(score)] = 1
        return (functions["weighted"](part, own) for part, own in zip(ids, weight.view_as(reference)))

    def step() -> float:
        optimizer.zero_grad()
        total = 0.0
        for loss in micro_losses():
            (loss / kept).backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return total / kept

    return step


def step_data(args, rows: int):
    """ids [A, rows, T] of one step, and reference losses spread as those of a trained model are."""
    import torch

    accumulate = args.tokens // (rows * args.sequence_length)
    args.batch_sizes = [accumulate * rows]  # what read_rows reads at least
    ids = read_rows(args)[: accumulate * rows].view(accumulate, rows, args.sequence_length)
    shape = (accumulate, rows * (args.sequence_length - 1))
    return ids, torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 8


def measure(args, objective: str, run: str, head: str, rows: int) -> dict:
    import torch

    torch.set_num_threads(args.threads)
    found = {"objective": objective, "run": run, "loss": head, "rows": rows}
    try:
        model = load_model(args.folder)
        ids, reference = step_data(args, rows)
        step = stepper(model, optimizer_of(model), objective, run, head, ids, reference)
        started = time.perf_counter()
        found |= {"mean_loss": step(), "first_step_s": time.perf_counter() - started}
        step()
        found |= {"tokens_per_s": steady_rate(step, ids.numel(), args), "rss_peak": peak_rss()}
    except Exception as error:  # noqa: BLE001 a configuration that cannot run is a result
        found["error"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return found


def alone(args, *config) -> dict:
    """`measure` in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(measure, args, *config).result()
        except BrokenProcessPool:
            named = dict(zip(("objective", "run", "loss", "rows"), config))
            return named | {"error": "the process was killed, likely for memory"}


def parse():
    names = lambda text: text.split(",")  # noqa: E731
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--sequence-length", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=4096, help="tokens a step")
    parser.add_argument("--rows", type=lambda text: [int(n) for n in names(text)], default=[1, 2, 4, 8])
    parser.add_argument("--threads", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--objectives", type=names, default=["clm", "slm"])
    parser.add_argument("--runs", type=names, default=["eager", "compile"])
    parser.add_argument("--heads", type=names, default=["naive", "chunked"])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ids")
    args = parser.parse_args()
    for rows in args.rows:
        if args.tokens % (rows * args.sequence_length) != 0:
            parser.error(f"--tokens {args.tokens} is no whole number of micro-batches of {rows} rows of {args.sequence_length}")
    return args


def main() -> None:
    args = parse()
    results = []
    for config in product(args.objectives, args.runs, args.heads, args.rows):
        results.append(alone(args, *config))
        print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    best = {
        objective: max((r for r in results if r["objective"] == objective), key=lambda r: r.get("tokens_per_s", 0))
        for objective in args.objectives
    }
    import torch
    import transformers

    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "python": sys.version.split()[0]}
    settings = {"sequence_length": args.sequence_length, "tokens": args.tokens, "threads": args.threads, "dtype": "float32"}
    print(json.dumps({"versions": versions, "settings": settings, "results": results, "best": best}, indent=1))


if __name__ == "__main__":
    main()
