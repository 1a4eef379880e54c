"""One meta-step, Adam included: this library beside PyTorch.

MetaLog's in several workloads, LogMeta's in one. All variants take the same sessions
from the same weights. Batches are built and handed to the framework before the clock
starts.
"""

import functools
import importlib
from typing import Any

from experiments.benches import lstm_workloads, suite, variants, workloads
from experiments.benches.variants import Variant

PACKAGES, SAMPLES = suite.PACKAGES, suite.SAMPLES


_ours = lambda **settings: Variant('jax', 'ours', **settings)
_torch = lambda how, **settings: Variant('torch', how, **settings)
_PACKED, _PADDED = 'nn.GRU packed and trimmed', 'nn.GRU trimmed'
METALOG = {  # those whose ratios are reported come first: they share their turns
  'ours': _ours(),
  'ours, 2 devices': _ours(devices=2),
  'ours, prefixes': _ours(sharing='prefixes'),
  'ours, prefixes, 2 devices': _ours(sharing='prefixes', devices=2),
  'ours, dedup': _ours(sharing='sequences'),
  'ours, dedup, 2 devices': _ours(sharing='sequences', devices=2),
  _PACKED: _torch(_PACKED),
  _PADDED: _torch(_PADDED),
  f'{_PACKED}, first order': _torch(_PACKED, order='first'),
  f'{_PADDED}, first order': _torch(_PADDED, order='first'),
  'ours, first order': _ours(order='first'),
  'PyTorch rewritten': _torch('rewritten', control=True),
  **{
    f'ours, {gradient}': _ours(gradient=gradient)
    for gradient in variants.GRADIENTS
    if gradient != variants.DEFAULT_GRADIENT
  },
}
_SIDE_BY_SIDE = Variant('jax', 'side by side')
LOGMETA = {
  'ours': _ours(),
  'ours, 2 devices': _ours(devices=2),
  'torch.func vmap': _torch('torch.func vmap'),
  'nn.LSTM': _torch('nn.LSTM'),
  'ours, tasks side by side': _SIDE_BY_SIDE,
  'ours, tasks side by side, 2 devices': _SIDE_BY_SIDE._replace(devices=2),
}
VARIANTS = tuple(dict.fromkeys([*METALOG, *LOGMETA]))
WORKLOADS = (*workloads.WORKLOADS, *lstm_workloads.META_STEPS)


def build(spec: dict[str, Any]) -> variants.Runner:
  """Makes the runner of one variant, in the variant's own process."""
  variant = Variant(**spec['variant'])
  is_logmeta = spec['workload'] in lstm_workloads.META_STEPS
  kind = '_lstm' if is_logmeta else '_gru'
  if variant.framework == 'torch':
    variants.use_torch()
  name = 'torch_rewritten' if variant.how == 'rewritten' else variant.framework + kind
  module = importlib.import_module(f'experiments.benches.{name}')
  if is_logmeta:
    workload = lstm_workloads.META_STEPS[spec['workload']]
    return module.meta_step(workload, variant, spec['draws'])
  workload = workloads.WORKLOADS[spec['workload']]
  return module.meta_step(workload, variant, spec['folders'], spec['draws'])


SUITE = suite.Suite(
  'meta_step',
  ('hdfs_to_bgl', 'bgl_to_hdfs', 'synthetic', 'logmeta'),
  lambda workload: LOGMETA if workload in lstm_workloads.META_STEPS else METALOG,
  draws=5,
  compiled_twice=suite.OURS,
)
run = functools.partial(suite.run, SUITE)
