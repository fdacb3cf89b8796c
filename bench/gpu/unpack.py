"""Unpacks a piece of the bundle that pieces.sh made: Node and the JavaScript below TARGET, libraries beside the binding.

usage: python3 unpack.py PIECE TARGET
"""

import lzma
import shutil
import sys
import tarfile
from pathlib import Path

piece, target = Path(sys.argv[1]), Path(sys.argv[2])
modules = target / "node_modules"
libraries = modules / "onnxruntime-node" / (piece / "binding").read_text().strip()
libraries.mkdir(parents=True, exist_ok=True)
for file in sorted(piece.iterdir()):
    if file.name == "modules.tar.xz":
        with tarfile.open(file) as archive:
            archive.extractall(modules)
    elif file.suffix == ".xz":
        place = (target if file.stem == "node" else libraries) / file.stem
        with lzma.open(file) as packed, place.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 1 << 22)
        place.chmod(0o755)
    elif file.name.endswith((".so", ".node")):
        shutil.copy(file, libraries)
