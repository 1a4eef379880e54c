#!/bin/sh
# The main job on SIMULATED raw logs: learn from a block store's labelled logs to find
# anomalies in a supercomputer's, with 1 % of its anomaly labels.
#   experiments/demo.sh PYTHON RUN_FOLDER
set -eu
python=$1
run=$2
logs=$run/logs
systems=$run/systems

"$python" -m experiments.simulate --system=blockstore --sessions=4000 --anomalies=0.1 --seed=0 --out="$logs/blockstore"
"$python" -m experiments.simulate --system=supercomputer --sessions=8000 --anomalies=0.1 --seed=0 --out="$logs/supercomputer"
"$python" -m experiments.prepare --system=hdfs --logs="$logs/blockstore/blockstore.log" \
  --labels="$logs/blockstore/anomaly_label.csv" --out="$systems/blockstore"
"$python" -m experiments.prepare --system=bgl --logs="$logs/supercomputer/supercomputer.log" \
  --out="$systems/supercomputer"
"$python" -m experiments.train --flagfile=experiments/presets/demo.flags --overwrite \
  --source="$systems/blockstore" --target="$systems/supercomputer" --workdir="$run/train"
cp "$run/train/report.html" "$run/train/report.md" "$run/"
echo "report: $run/report.html"
