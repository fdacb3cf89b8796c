"""`python -m tokensieve.engine NAME`: an engine on a pipe. `--probe` says in JSON whether it loads, and with what."""

from __future__ import annotations

import importlib
import json
import sys

ENGINES = {"torch": "torch_engine"}


def main(arguments: list[str]) -> int:
    names = [one for one in arguments if one != "--probe"]
    if len(names) != 1 or names[0] not in ENGINES:
        sys.stderr.write(f"usage: python -m tokensieve.engine {{{','.join(ENGINES)}}} [--probe]\n")
        return 2
    name = names[0]
    try:
        serve = importlib.import_module(".serve", __package__).serve
        module = importlib.import_module(f".{ENGINES[name]}", __package__)
    except ImportError as error:
        missing = (error.name or str(error)).split(".")[0]
        told = {
            "level": "error",
            "code": "no-package",
            "message": f"Python package {missing!r} is missing in {sys.executable}",
            "package": missing,
        }
        sys.stderr.write(json.dumps(told) + "\n")
        return 1
    if "--probe" in arguments:
        sys.stdout.write(json.dumps(module.probe()) + "\n")
        return 0
    return int(serve(module.open_engine))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
