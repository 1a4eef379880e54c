"""The ways inside shard_map: rows on two devices, summed by the loss itself."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import functools
import jax
import numpy as np
from jax.sharding import PartitionSpec as P
from metalog_jax import meta, types
from metalog_jax.meta import gradients
from tests import staircases

jax.config.update('jax_enable_x64', True)
rng = np.random.default_rng(0)
params = {'w': rng.normal(size=(3, 4)), 'v': rng.normal(size=4)}
task = types.Task(rng.normal(size=(2, 6, 3)), rng.normal(size=(6, 3)))
mesh = jax.make_mesh((2,), ('rows',), axis_types=(jax.sharding.AxisType.Auto,))

def loss_fn(total, params, x):
  rows = (jax.numpy.tanh(x @ params['w']) @ params['v'] - x[:, 0]) ** 2
  return total(rows.sum()) / 6

specs = (P(), types.Task(P(None, 'rows'), P('rows')))
for way in ['auto', 'truncated', 'implicit', 'reptile', *gradients.EXACT]:
  config = meta.MetaConfig(
    inner_lr=0.1, inner_steps=2, gradient=way, proximal=1.0, truncate=1, cg_tol=1e-12
  )
  def grad(total, params, task):
    loss = functools.partial(loss_fn, total)
    return meta.meta_grad(loss, params, task, config)
  whole = jax.jit(functools.partial(grad, lambda x: x))(params, task)
  summed = functools.partial(grad, lambda x: jax.lax.psum(x, 'rows'))
  cut = jax.shard_map(
    summed, mesh=mesh, in_specs=specs, out_specs=(P(), P()), check_vma=True
  )
  error = staircases.difference(jax.jit(cut)(params, task), whole)
  assert error < (1e-9 if way == 'implicit' else 1e-12), (way, error)
  print(way, error)
"""


@pytest.mark.slow
def test_two_devices_agree_with_one():
  flags = '--xla_force_host_platform_device_count=2'
  env = {**os.environ, 'XLA_FLAGS': flags, 'JAX_PLATFORMS': 'cpu'}
  done = subprocess.run(
    [sys.executable, '-c', PROGRAM], env=env, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
