"""
A model of lm-evaluation-harness that is answered by `tokensieve loglikelihood`: its tokenizer, its windows, our engine.

    python -m tokensieve.harness run --model tokensieve --model_args model=runs/owm/base --tasks arc_easy,lambada_openai

is lm_eval's own command with the model `tokensieve` beside its others (lm_eval 0.4.9 or later, which has no way to name a model from
without). Arguments of the model: `model`, `tokenizer`, `max_length`, `command` (default: tokensieve on the PATH).
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import lm_eval.models  # noqa: F401  (registers the others, which a registry with a name in it does not do any more)
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from .errors import TokensieveError


class TokensieveLM(LM):  # type: ignore[misc]
    """Requests go into a file, the command answers them, a line each. Generation is not offered."""

    def __init__(
        self,
        model: str,
        tokenizer: str | None = None,
        max_length: int | None = None,
        command: str | None = None,
        device: str | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        if unknown:
            raise TokensieveError(
                "bad-settings",
                f"model_args {', '.join(unknown)}: not known; expected model, tokenizer, max_length or command",
            )
        found = command or shutil.which("tokensieve")
        if found is None:
            raise TokensieveError(
                "no-command", "tokensieve: not on the PATH; install it, or give model_args command='npx tokensieve'"
            )
        options = {"--tokenizer": tokenizer, "--sequence-length": max_length, "--device": _device(device)}
        self._command = [
            *shlex.split(found),
            "loglikelihood",
            *("--model", str(model)),
            *(str(word) for name, value in options.items() if value is not None for word in (name, value)),
        ]

    def _answers(self, requests: list[dict[str, str]]) -> list[dict[str, Any]]:
        if not requests:
            return []
        with tempfile.TemporaryDirectory() as folder:
            asked, answered = Path(folder, "requests.jsonl"), Path(folder, "answers.jsonl")
            asked.write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="utf-8")
            done = subprocess.run(
                [*self._command, str(asked), "--out", str(answered), "--log", "none"],
                check=False,
                capture_output=True,
                text=True,
            )
            if done.returncode not in (0, 3):
                why = (done.stderr.strip().splitlines() or ["no message"])[-1]
                raise TokensieveError("command-failed", f"{shlex.join(self._command)}: exit {done.returncode}: {why}")
            found = [json.loads(line) for line in answered.read_text(encoding="utf-8").splitlines()]
        if len(found) != len(requests):
            raise TokensieveError("command-failed", f"{len(found)} answers to {len(requests)} requests")
        for request, answer in zip(requests, found):
            if "error" in answer:
                raise TokensieveError("not-answered", f"{json.dumps(request)[:120]}: {answer['error']}")
        return found

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        pairs = [{"context": context, "continuation": continuation} for context, continuation in _args(requests)]
        found = [(answer["logprob"], answer["is_greedy"]) for answer in self._answers(pairs)]
        for request, answer in zip(requests, found):
            self.cache_hook.add_partial("loglikelihood", request.args, answer)
        return found

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        found = [answer["logprob"] for answer in self._answers([{"text": text} for (text,) in _args(requests)])]
        for request, answer in zip(requests, found):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, answer)
        return found

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        raise TokensieveError(
            "no-generation",
            "tasks that generate are not answered through the harness: run them with --model hf, or grade outputs of "
            "any model with `tokensieve grade`",
        )


def _args(requests: list[Any]) -> list[tuple[str, ...]]:
    return [request.args for request in requests]


def _device(name: str | None) -> str:
    """The harness says cuda where nobody said anything, and takes the CPU where there is none: so does `auto`."""
    return "cpu" if name == "cpu" else "auto"


def main() -> None:
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


# Run with -m this module is there twice, as `__main__` and by its own name: the latter is what is registered.
if __name__ == "__main__":
    from tokensieve.harness import main as run

    run()
else:
    register_model("tokensieve")(TokensieveLM)
