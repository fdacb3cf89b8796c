"""PyTorch training the same model on the same tokens, a few seconds at a time, when asked: for interleaved measurement.

Run:  python bench/torch/paced_train.py FOLDER --sequence-length 512 --tokens 4096 --threads 2
        --configs clm:eager:naive:8,slm:compile:naive:8
Loads the model once, takes two steps by (and compiles) every configuration objective:run:loss:rows, prints a line
{"ready": …}, then answers each line on standard input, `CONFIG SECONDS`, with {"tokens_per_s": …, "mean_loss": …,
"rss_peak": …}. What the parts of a configuration mean: train.py here. All share one model and one optimiser; the peak is
that of the process, so ask for one configuration alone to know its own.
Made with: torch 2.15.0, transformers 5.23.0. torch.compile needs a C++ compiler on the path.
"""

import argparse
import json
import sys
import time

import torch
import transformers

from score import peak_rss
from train import load_model, optimizer_of, step_data, stepper


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--sequence-length", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--configs", default="clm:eager:naive:8,clm:compile:naive:8")
    parser.add_argument("--ids")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    transformers.utils.logging.disable_progress_bar()
    model = load_model(args.folder)
    optimizer = optimizer_of(model)
    steps = {}
    for config in args.configs.split(","):
        objective, run, head, rows = config.split(":")
        ids, reference = step_data(args, int(rows))
        steps[config] = (stepper(model, optimizer, objective, run, head, ids, reference), ids.numel())
        steps[config][0]()
        steps[config][0]()
    print(json.dumps({"ready": list(steps), "torch": torch.__version__, "transformers": transformers.__version__}), flush=True)
    for line in sys.stdin:
        config, seconds = line.split()
        step, tokens = steps[config]
        done, loss, started = 0, 0.0, time.perf_counter()
        while done == 0 or time.perf_counter() - started < float(seconds):
            loss = step()
            done += 1
        rate = done * tokens / (time.perf_counter() - started)
        print(json.dumps({"tokens_per_s": rate, "mean_loss": loss, "rss_peak": peak_rss()}), flush=True)


main()
