#!/usr/bin/env bash
# Measures the meta-steps, scores and long inner loops on the GPU or TPU of this machine,
# PyTorch beside them on the CPU, in under ten minutes:
#
#   experiments/accelerator.sh [PYTHON] > accelerator.md
#
# Needs a jax that sees the accelerator: pip install "jax[cuda13]" or "jax[tpu]".
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
export JAX_PLATFORMS=  # jax's own choice: the accelerator
"$python" - <<'PYTHON'
import jax

device = jax.devices()[0]
if device.platform == 'cpu':
  raise SystemExit('jax sees no accelerator here: see the first lines of this script')
print(f'{len(jax.devices())} x {device.device_kind}, jax {jax.__version__}\n')
PYTHON
run() {
  echo "## $*"
  timeout 150 "$python" -m "$@" || echo "not done: $? (124: out of time)"
}
run experiments.lowered --size=paper --gradients=mixed
run experiments.bench --suite=meta_step --samples=5 --limit=60 \
  --variants=ours --workloads=hdfs_to_bgl,logmeta
run experiments.bench --suite=meta_step --samples=3 --limit=60 \
  --variants="nn.GRU packed and trimmed,torch.func vmap" --workloads=hdfs_to_bgl,logmeta
run experiments.bench --suite=inference --samples=3 --limit=60
run experiments.long_loops --steps=1,10,100,1000
