"""PyTorch and transformers scoring the same tokens, a few seconds at a time, when asked: for interleaved measurement.

Run:  python bench/torch/paced.py FOLDER --sequence-length 512 --threads 2 --configs eager:chunked:8,compile:naive:8
Loads the model once, warms up (and compiles) every configuration run:loss:batch, prints a line {"ready": …}, then answers
each line on standard input, `CONFIG SECONDS`, with {"tokens_per_s": …, "rss_peak": …}. What run and loss mean: score.py here.
Made with: torch 2.15.0, transformers 5.23.0. torch.compile needs a C++ compiler on the path.
"""

import argparse
import json
import sys
import time

import torch
import transformers

from score import peak_rss, scorer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--sequence-length", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--configs", default="eager:chunked:8,compile:naive:8")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        args.folder, dtype=torch.float32, attn_implementation="sdpa"
    ).eval()
    calls = {}
    with torch.inference_mode():
        for config in args.configs.split(","):
            run, head, batch = config.split(":")
            score = scorer(model, head)
            if run == "compile":
                score = torch.compile(score, dynamic=False)
            ids = torch.randint(model.config.vocab_size, (int(batch), args.sequence_length))
            score(ids)
            score(ids)
            calls[config] = (score, ids)
        print(json.dumps({"ready": list(calls), "torch": torch.__version__, "transformers": transformers.__version__}), flush=True)
        for line in sys.stdin:
            config, seconds = line.split()
            score, ids = calls[config]
            done, started = 0, time.perf_counter()
            while done == 0 or time.perf_counter() - started < float(seconds):
                score(ids)
                done += 1
            rate = done * ids.numel() / (time.perf_counter() - started)
            print(json.dumps({"tokens_per_s": rate, "rss_peak": peak_rss()}), flush=True)


main()
