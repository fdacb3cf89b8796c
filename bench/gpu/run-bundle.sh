#!/usr/bin/env bash
# Unpacks the bundle that it lies in and runs the benchmark, in one command:   bash run.sh [--out FOLDER] [flags of run.mjs]
# PIECES lie beside this file, or in the folders that PIECES names (core:cuda), when they came in several goes; what is unpacked
# already is not unpacked again. TARGET: where to (default /opt/ts). PYTHON: interpreter with torch and transformers.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=${TARGET:-/opt/ts}
python=${PYTHON:-python3}
mkdir -p "$target"
[ -x "$target/node" ] || "$python" "$here/core/unpack.py" "$here/core" "$target"
if [ -d "$here/cuda" ] && [ ! -f "$target/cuda-unpacked" ]; then
  "$python" "$here/cuda/unpack.py" "$here/cuda" "$target"
  touch "$target/cuda-unpacked"
fi
if [ ! -d "$target/app" ]; then
  "$python" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$here/app.tar.xz" "$target"
  mkdir -p "$target/app/node_modules"
  for name in onnxruntime-node onnxruntime-common; do
    rm -rf "$target/app/node_modules/$name"
    ln -s "$target/node_modules/$name" "$target/app/node_modules/$name"
  done
fi
# The CUDA libraries, wherever an installation of CUDA or of PyTorch put them.
folders=$(find / -xdev \( -name proc -o -name sys \) -prune -o \
  \( -name 'libcublasLt.so.1*' -o -name 'libcudart.so.1*' -o -name 'libcurand.so.1*' -o -name 'libcudnn.so.9' -o -name 'libcufft.so.1*' \) \
  -print 2>/dev/null | xargs -rn1 dirname | sort -u | paste -sd:)
export LD_LIBRARY_PATH="$folders:/usr/local/nvidia/lib64:/usr/local/nvidia/lib:${LD_LIBRARY_PATH:-}"
cd "$target/app"
case " $* " in *' --device cpu '*) ;; *)
  nvidia-smi || true
  "$target/node" dist/device/device.probe.js cuda || { echo 'the CUDA provider does not load:'; "$target/node" dist/cli/main.js doctor || true; }
esac
exec "$target/node" bench/gpu/run.mjs --python "$python" "$@"
