#!/usr/bin/env bash
# Makes the exports that readers.py reads.
#   make.sh BITS FRACTIONS EXPORTS    from the repository's root, after npm run build: two weighted runs of one corpus
set -euo pipefail
bits=$1 fractions=$2 out=$3
export_to() {
  local run=$1 name=$2 to=$3; shift 3
  node dist/cli/main.js export "$run" --to "$to" --out "$out/$name" --log none "$@" > /dev/null
}
export_to "$bits" hf hf --add attention_mask
export_to "$fractions" hf-fractions hf --add loss_scale
export_to "$bits" llmc nanogpt --header llmc
export_to "$bits" nemo nanogpt --header nemo
