#!/usr/bin/env bash
# The pieces that bundle.sh takes: OUT/core with this machine's Node and an onnxruntime-node, OUT/cuda with a CUDA provider of the same
# version, each packed by xz beside unpack.py, for x86-64 Linux.
#
#   bench/gpu/pieces.sh OUT RUNTIME PROVIDER
#
# RUNTIME: a folder with node_modules/onnxruntime-node and onnxruntime-common. PROVIDER: a folder with libonnxruntime_providers_cuda.so and
# libonnxruntime_providers_shared.so built from the same version (`tokensieve doctor` names the version of a binding). Needs xz; shrink.py may be run
# on copies of both first. XZ_PRESET=0 packs fast, to try it. Nothing is downloaded.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: pieces.sh OUT RUNTIME PROVIDER}
modules=${2:?usage: pieces.sh OUT RUNTIME PROVIDER}/node_modules
provider=${3:?usage: pieces.sh OUT RUNTIME PROVIDER}
binding=$(cd "$modules/onnxruntime-node" && echo bin/napi-v*/linux/x64)
for file in "$modules/onnxruntime-node/$binding/onnxruntime_binding.node" "$provider/libonnxruntime_providers_cuda.so" \
  "$provider/libonnxruntime_providers_shared.so"; do
  [ -f "$file" ] || { echo "$file: not there" >&2; exit 1; }
done
mkdir -p "$out/core" "$out/cuda"
pack() { xz --x86 --lzma2="preset=${XZ_PRESET:-6},dict=64MiB" -T2 -c "$1" > "$2"; }
pack "$(readlink -f "$(command -v node)")" "$out/core/node.xz"
for file in "$modules/onnxruntime-node/$binding"/libonnxruntime.so.*; do
  [ -L "$file" ] || pack "$file" "$out/core/$(basename "$file").xz"
done
cp "$modules/onnxruntime-node/$binding/onnxruntime_binding.node" "$provider/libonnxruntime_providers_shared.so" "$out/core/"
tar -C "$modules" --exclude='*.map' --exclude='*.min.js' -cJf "$out/core/modules.tar.xz" -h \
  onnxruntime-node/package.json onnxruntime-node/dist onnxruntime-common/package.json onnxruntime-common/dist
pack "$provider/libonnxruntime_providers_cuda.so" "$out/cuda/libonnxruntime_providers_cuda.so.xz"
for piece in core cuda; do
  cp "$here/unpack.py" "$out/$piece/"
  echo "$binding" > "$out/$piece/binding"
done
du -sh "$out/core" "$out/cuda"
