#!/bin/sh
# Trains in several processes on this machine, one device each, as on several hosts.
#   experiments/launch/local.sh 2 --source=systems/hdfs --target=systems/bgl --workdir=runs/two
# The first argument is how many; the others are those of `metalog train`.
set -eu
num=$1
shift
python=${PYTHON:-python}
port=${PORT:-$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')}
pids=
i=0
while [ "$i" -lt "$num" ]; do
  "$python" -m metalog_jax train --distributed --devices=1 --coordinator="127.0.0.1:$port" \
    --processes="$num" --process="$i" "$@" &
  pids="$pids $!"
  i=$((i + 1))
done
trap 'kill -TERM $pids' TERM INT
status=0
for pid in $pids; do
  wait "$pid" || status=$?
done
exit "$status"
