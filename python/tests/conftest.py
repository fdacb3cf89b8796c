from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "fixtures" / "python"
#: Of an sdist there are the tests, and not what they read: that is the repository's.
collect_ignore_glob = [] if FIXTURES.is_dir() else ["test_*.py"]


@pytest.fixture(scope="session")
def golden() -> Any:
    return json.loads((FIXTURES / "golden.json").read_text())


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if collect_ignore_glob:
        terminalreporter.write_line("skipped: no fixtures/ here (all tests: they are run from the repository)")
    try:
        import torch

        terminalreporter.write_line(f"with torch {torch.__version__}")
    except ImportError:
        terminalreporter.write_line(
            "skipped: no torch (losses, data set and trainer of python/ were not tested; numpy parts were)"
        )
