#!/usr/bin/env bash
# A pipeline on a Slurm array: each task makes its share of the parts, on a GPU of its own.
#
#   job=$(sbatch --parsable --array=0-15 pipelines/deploy/slurm.sh pipelines/openwebmath-1b.yaml)
#   sbatch --dependency=afterok:$job --export=ALL,ONCE=1 pipelines/deploy/slurm.sh pipelines/openwebmath-1b.yaml
#
# The second job runs what runs once (select, train, …) and first makes parts that are missing. Tasks that failed or were
# stopped: submit the array again, as it was; finished parts are not made again.
# Settings after the pipeline are handed on: slurm.sh job.yaml --set sequence.length=1024
#SBATCH --job-name=tokensieve
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --ntasks=1
#SBATCH --mem=32G
#SBATCH --time=24:00:00
#SBATCH --output=tokensieve-%A_%a.log
# A minute before the end Slurm asks this script to stop: the part in work is given up, and the next submission makes it.
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
set -euo pipefail
[ $# -ge 1 ] || { echo 'usage: slurm.sh PIPELINE [settings]' >&2; exit 2; }

# The command, if it is not on the PATH: TOKENSIEVE='node /opt/tokensieve/dist/cli/main.js'
read -ra tokensieve <<<"${TOKENSIEVE:-tokensieve}"
if [ -n "${ONCE:-}" ]; then
  exec "${tokensieve[@]}" run "$@" --log json
fi
"${tokensieve[@]}" run "$@" --executor array --log json &
child=$!
trap 'kill -TERM "$child"' TERM INT
# A signal ends `wait` before the command has ended.
code=0
while wait "$child" || code=$?; kill -0 "$child" 2>/dev/null; do code=0; done
# 3 is done, with rows or shards set aside: not a reason to hold back the job that depends on this one.
[ "$code" -eq 3 ] && code=0
exit "$code"
