#!/bin/sh
# Trains on all hosts of a TPU slice; jax finds the others. One host needs no script:
# `metalog train` takes all its chips.
#   experiments/launch/tpu_vm.sh NAME ZONE --source=... --target=... --workdir=/mnt/shared/run
# NAME and ZONE are those of the TPU VM, on whose hosts the repository and .venv stand
# in ~/metalog_jax (BUILD.md); the run folder must be on a disk that all hosts share.
set -eu
name=$1
zone=$2
shift 2
exec gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all \
  --command="cd metalog_jax && .venv/bin/python -m metalog_jax train --distributed $*"
