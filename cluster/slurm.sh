#!/usr/bin/env bash
# A study on the nodes of a Slurm job: Ray starts on each of them, `sweep launch` runs on the first, all ends with it.
#
#   sbatch cluster/slurm.sh search_spaces/vit.yaml                     # two nodes of four GPUs, as said below
#   sbatch --nodes=8 --gpus-per-node=8 cluster/slurm.sh mine.yaml --set budget.time=10h
#   squeue --me; tail -f sweep-JOBID.out
#   scancel --batch --signal=INT JOBID         # trials end at their next report; the same sbatch again goes on
#
# What follows the file goes to `sweep launch`. Studies and models go to folders that all nodes share, which a cluster's
# home or project folders are: $SWEEP_STORAGE and $SWEEP_REGISTRY, else `studies` and `registry` where you typed sbatch.
# CHANGE: partition, account and the times of your site; and how the environment with sweep comes to the nodes:
#   SWEEP_ACTIVATE='module load cuda; source ~/sweep-env/bin/activate' sbatch cluster/slurm.sh ...
#
# A job that Slurm cuts off for its time is told two minutes before, ends its trials at their next report and is queued
# again, so a study may be longer than a job may be; --no-requeue is without that.
#
# A token of this job alone keeps everybody else's processes out: without one, whoever shares a node or the network
# could run code as you. It lies in a folder of yours that nobody else may read, and goes with the job.

#SBATCH --job-name=sweep
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --gpus-per-node=4
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --output=sweep-%j.out
#SBATCH --open-mode=append

set -euo pipefail

if [[ $# -lt 1 ]]; then
  echo "slurm.sh: which search file? sbatch cluster/slurm.sh SPEC [OPTIONS OF sweep launch]" >&2
  exit 2
fi
: "${SLURM_JOB_ID:?slurm.sh: run it by sbatch, or inside salloc}"

eval "${SWEEP_ACTIVATE:-}"
command -v sweep >/dev/null || { echo "slurm.sh: no sweep on this node; set SWEEP_ACTIVATE" >&2; exit 2; }
export SWEEP_STORAGE="${SWEEP_STORAGE:-$SLURM_SUBMIT_DIR/studies}"
export SWEEP_REGISTRY="${SWEEP_REGISTRY:-$SLURM_SUBMIT_DIR/registry}"

# -- the token, in a folder that every node sees and nobody else reads ------------------------------------------------
secrets=$(umask 077 && mktemp -d "$HOME/.sweep-$SLURM_JOB_ID.XXXXXX")
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$secrets/token"
(umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$RAY_AUTH_TOKEN_PATH")

# No pipe into `head`: it would close it while scontrol still writes, and with pipefail end this script.
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${hosts%%$'\n'*}
# Ports of this job's own, so that two of them can share a node.
port=$((20000 + SLURM_JOB_ID % 2500 * 5))
scratch="/tmp/ray-$SLURM_JOB_ID"  # short: the path of a socket in it has at most 107 characters
cpus=${SLURM_CPUS_PER_TASK:-1}
every=(srun --overlap --ntasks-per-node=1 --cpus-per-task="$cpus")
steps=()
study=
cut_off=

# shellcheck disable=SC2317  # called by the trap
finish() {
  trap - EXIT
  for step in ${steps[@]+"${steps[@]}"}; do kill -TERM "$step" 2>/dev/null || true; done
  wait 2>/dev/null || true
  "${every[@]}" rm -rf "$scratch" 2>/dev/null || true
  rm -rf "$secrets"
}
# TERM, for bash lets what it starts in the background ignore INT; sweep takes both alike.
# shellcheck disable=SC2317  # called by the traps
interrupt() {
  [[ -n $study ]] || exit 130
  told=yes
  kill -TERM "$study" 2>/dev/null || true
}
# shellcheck disable=SC2317  # called by the trap
nearly_over() {
  cut_off=yes
  echo "slurm.sh: the job's time is nearly over; trials end at their next report"
  interrupt
}
trap finish EXIT
trap interrupt INT TERM
trap nearly_over USR1

# -- Ray: the head on this node, a worker on each other ----------------------------------------------------------------
one=("${every[@]}" --nodes=1 --ntasks=1)
# --block keeps each Ray as a step of the job, so that Slurm counts it, holds it to its cores and ends it with the job.
node=(ray start --block --num-cpus="$cpus" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --disable-usage-stats
  --dashboard-agent-listen-port="$((port + 2))" --metrics-export-port="$((port + 3))")
ulimit -n "$(ulimit -Hn)"

address=$("${one[@]}" --nodelist="$head" hostname -I | awk '{print $1}')
"${one[@]}" --nodelist="$head" "${node[@]}" --head --node-ip-address="$address" --port="$port" \
  --dashboard-host=127.0.0.1 --dashboard-port="$((port + 1))" --temp-dir="$scratch" &
steps+=($!)

since=$SECONDS
until (exec 3<>"/dev/tcp/$address/$port") 2>/dev/null; do
  kill -0 "${steps[0]}" 2>/dev/null || { echo "slurm.sh: the head's Ray has ended; see above" >&2; exit 1; }
  ((SECONDS - since < 300)) || { echo "slurm.sh: the head's Ray did not start in five minutes" >&2; exit 1; }
  sleep 1
done
if ((SLURM_JOB_NUM_NODES > 1)); then
  "${every[@]}" --nodes="$((SLURM_JOB_NUM_NODES - 1))" --ntasks="$((SLURM_JOB_NUM_NODES - 1))" --exclude="$head" \
    "${node[@]}" --address="$address:$port" &
  steps+=($!)
fi

# A launch counts the nodes that are there, so all of them have to be.
python - "$address:$port" "$SLURM_JOB_NUM_NODES" <<'PYTHON'
import sys
import time

import ray

ray.init(address=sys.argv[1], log_to_driver=False)
wanted, ends = int(sys.argv[2]), time.monotonic() + 300
while (alive := sum(node["Alive"] for node in ray.nodes())) < wanted:
    if time.monotonic() > ends:
        sys.exit(f"slurm.sh: {alive} of {wanted} nodes came in five minutes; see above")
    time.sleep(1)
PYTHON

# -- the study ---------------------------------------------------------------------------------------------------------
sweep launch "$@" --address "$address:$port" --yes &
study=$!
status=0
# A signal ends `wait`, not the study: wait again until that is what ended it.
while true; do
  told=
  wait "$study" && status=0 || status=$?
  [[ -n $told ]] || break
done

if [[ -n $cut_off && $status -eq 130 ]]; then
  echo "slurm.sh: queued again; the study goes on from where it is"
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
