#!/usr/bin/env bash
# Everything that bench/gpu needs on a bare x86-64 Linux machine with an NVIDIA driver, CUDA 13 libraries and python3 (with
# torch and transformers for the rival), but neither Node nor a network: Node, ONNX Runtime with its CUDA provider, the
# build, and the packages that it loads. In pieces, each far below what is commonly moved in one go.
#
#   bench/gpu/bundle.sh OUT PIECES     then copy OUT there and run:   bash OUT/run.sh --out RESULTS
#
# PIECES: a folder with `core/` and `cuda/` as pieces.sh makes them: Node and onnxruntime-node packed by xz in `core`, the
# CUDA provider in `cuda`, `unpack.py` in each. Needs npm, node, python3, xz.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${1:?usage: bundle.sh OUT PIECES}
pieces=${2:?usage: bundle.sh OUT PIECES}
[ -f "$root/dist/index.js" ] || { echo 'build first: npm run build' >&2; exit 1; }
for piece in core cuda; do
  [ -f "$pieces/$piece/unpack.py" ] || { echo "$pieces/$piece/unpack.py: not there; make the pieces first" >&2; exit 1; }
done
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir -p "$out" "$work/app/bench" "$work/app/fixtures" "$work/app/node_modules"
cd "$root"
cp -r dist package.json pipelines "$work/app/"
cp -r bench/gpu bench/support "$work/app/bench/"
cp -r fixtures/quickstart fixtures/bpe "$work/app/fixtures/"
find "$work/app" \( -name '*.map' -o -name '*.d.ts' \) -delete
rm -rf "$work/app/dist/web"
# Packages that the phases load: found by loading them, and everything those depend on.
node bench/gpu/packages.mjs | while read -r name; do
  mkdir -p "$work/app/node_modules/$(dirname "$name")"
  cp -rl "node_modules/$name" "$work/app/node_modules/$name" 2>/dev/null || cp -r "node_modules/$name" "$work/app/node_modules/$name"
done
find "$work/app/node_modules" -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.md' -o -name '*.ts' \) -delete
# Native code of other systems, and builds for browsers.
find "$work/app/node_modules" -name '*.node' ! -name '*linux-x64-gnu*' -delete
find "$work/app/node_modules" -type d \( -name umd -o -name es5 \) -prune -exec rm -rf {} +
tar -C "$work" -cf - app | xz -6 -T2 > "$out/app.tar.xz"
cp -r "$pieces/core" "$pieces/cuda" "$out/"
cp bench/gpu/run-bundle.sh "$out/run.sh"
du -b "$out"/*/* "$out"/app.tar.xz "$out"/run.sh | sort -n
total=$(du -sb "$out" | cut -f1)
echo "$total bytes in all: $((total / 1048576)) MiB"
