#!/usr/bin/env bash
# Tests of the Python package. Without Python 3.10, or where packages cannot be had, it says so and is content.
#
#   PYTHON=…/bin/python python/test.sh    an interpreter that has pyarrow, pytest and hypothesis, and torch or not
#
# Else a virtual environment is made beside this script, once, without torch: PyPI's build for Linux brings three
# gigabytes of CUDA libraries, too much for a test run (docs/python.md). Where the python3 found has torch, it is used.
set -euo pipefail
cd "$(dirname "$0")"
needed='import sys; assert sys.version_info >= (3, 10); import pyarrow, numpy, pytest, hypothesis, fsspec'
python=${PYTHON:-}
if [ -z "$python" ]; then
  python=.venv/bin/python
  if ! "$python" -c "$needed" 2>/dev/null; then
    found=$(command -v python3 || true)
    if [ -z "$found" ] || ! "$found" -c 'import sys; assert sys.version_info >= (3, 10)' 2>/dev/null; then
      echo 'skipped: no Python 3.10 or later (tests of python/ will not run)'
      exit 0
    fi
    system=()
    if "$found" -c 'import torch' 2>/dev/null; then system=(--system-site-packages); fi
    if ! { "$found" -m venv "${system[@]}" .venv \
      && timeout 300 .venv/bin/pip install --quiet --disable-pip-version-check pyarrow numpy pytest hypothesis fsspec build 'setuptools>=77'; }; then
      rm -rf .venv
      echo 'skipped: packages of PyPI could not be installed (tests of python/ will not run)'
      exit 0
    fi
  fi
fi
PYTHONPATH=src PYTHONDONTWRITEBYTECODE=1 "$python" -m pytest -q -rs -p no:cacheprovider "$@"
