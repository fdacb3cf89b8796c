#!/usr/bin/env bash
# Makes every export that read_exports.py reads.
#   make_exports.sh RUN EXPORTS [bits|fractions]   from the repository's root, after npm run build
# fractions: of a run whose weights are not all 0 and 1, what keeps them.
set -euo pipefail
run=$1 exports=$2 weights=${3:-bits}
export_to() {
  local out=$1 to=$2; shift 2
  node dist/cli/main.js export "$run" --to "$to" --out "$exports/$out" "$@" 2>/dev/null | head -1
}
for to in hf nanogpt megatron parquet jsonl; do export_to "$to" "$to" --shard-bytes 2500000; done
export_to sequences parquet --rows sequence --shard-bytes 2500000
export_to zstd parquet --compression zstd
export_to zstd-sequences parquet --rows sequence --compression zstd
if [ "$weights" = bits ]; then
  export_to labels megatron --sidecar labels --shard-bytes 2500000
  for to in olmo datatrove; do export_to "$to" "$to" --shard-bytes 1000000; done
fi
