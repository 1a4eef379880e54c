"""The modes on a mesh: rows or tasks on two devices, rows summed by the loss itself."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import dataclasses
import jax
import numpy as np
import optax
from metalog_jax import meta, types
from metalog_jax.meta import gradients, mesh
from tests import grids

jax.config.update('jax_enable_x64', True)
rng = np.random.default_rng(0)
params = {'w': rng.normal(size=(3, 4)), 'v': rng.normal(size=4)}
whole = types.Task(rng.normal(size=(2, 2, 6, 3)), rng.normal(size=(2, 6, 3)))
sgd = optax.sgd(0.1)
splits = {'support_weight': 1.0, 'query_weight': 4.0, 'support_per_step': True}

def loss_fn(total):
  def loss(params, x):
    rows = (jax.numpy.tanh(x @ params['w']) @ params['v'] - x[:, 0]) ** 2
    return total(rows.sum()) / 6
  return loss

def cut(x, parts):  # [..., 6, 3] -> [T, D, ..., 6 / D, 3]
  return np.stack(np.split(x, parts, axis=-2), axis=1)

def stepped(loss, config, tasks, devices=None):
  step = meta.make_meta_step(loss, sgd, config, devices)
  state = meta.init_state(params, sgd)
  if devices:
    state, tasks = mesh.replicate(state, devices), mesh.put(tasks, devices)
    assert meta.choose(loss, state.params, tasks, config, devices)[0] != 'auto'
  state = step(state, tasks)[0]
  return jax.tree.map(lambda a, b: np.asarray(a) - b, state.params, params)

summed = loss_fn(lambda x: jax.lax.psum(x, mesh.ROWS))
for mode in ['first', 'auto', 'truncated', 'implicit', 'reptile', *gradients.EXACT]:
  named = {'order': 'first'} if mode == 'first' else {'gradient': mode}
  config = meta.MetaConfig(
    inner_lr=0.1, inner_steps=2, proximal=5.0, cg_tol=1e-12, **named, **splits
  )
  one = stepped(loss_fn(lambda x: x), config, whole)
  for along, how in ((1, 'side_by_side'), (1, 'in_turn'), (2, 'auto')):
    config = dataclasses.replace(config, tasks=how)
    devices = mesh.make_mesh(tasks=along)
    tasks = jax.tree.map(lambda x: cut(x, 2 // along), whole)
    error = grids.difference(stepped(summed, config, tasks, devices), one)
    print(mode, along, how, error, flush=True)
    assert error < 1e-12, (mode, along, how, error)

# Hyperparameters of the loss and of the rule, trained with the parameters.
def scaled(total):
  def loss(params, hyper, x):
    out = hyper['scale'] * jax.numpy.tanh(x @ params['w']) @ params['v']
    return total(((out - x[:, 0]) ** 2).sum()) / 6
  return loss

def both(loss, config, tasks, devices=None):
  step = meta.make_meta_step(loss, sgd, config, devices, wrt='both')
  state = meta.init_state(params, sgd, hyper={'scale': 1.2, 'rate': 0.1}, wrt='both')
  if devices:
    state, tasks = mesh.replicate(state, devices), mesh.put(tasks, devices)
  state = step(state, tasks)[0]
  return jax.tree.map(np.asarray, (state.params, state.hyper))

for mode in ('mixed', 'linearized', 'reverse'):
  config = meta.MetaConfig(
    inner_steps=2, gradient=mode, segments=2, rule=lambda h: optax.sgd(h['rate']),
    **splits
  )
  one = both(scaled(lambda x: x), config, whole)
  assert abs(one[1]['rate'] - 0.1) > 1e-4 and abs(one[1]['scale'] - 1.2) > 1e-4
  for along in (1, 2):
    devices = mesh.make_mesh(tasks=along)
    tasks = jax.tree.map(lambda x: cut(x, 2 // along), whole)
    summed_loss = scaled(lambda x: jax.lax.psum(x, mesh.ROWS))
    error = grids.difference(both(summed_loss, config, tasks, devices), one)
    print('hyper', mode, along, error, flush=True)
    assert error < 1e-12, (mode, along, error)

# Runs along the devices, of other tasks each, with the rows in one or in two parts.
config = meta.MetaConfig(inner_lr=0.1, inner_steps=2, **splits)
runs = [jax.tree.map(lambda x: (1 + i) * x, whole) for i in range(4)]
alone = [stepped(loss_fn(lambda x: x), config, run) for run in runs]
stack = lambda trees: jax.tree.map(lambda *x: np.stack(x), *trees)
for along in (1, 2):
  devices = mesh.make_mesh(runs=along)
  step = meta.make_meta_step(summed, sgd, config, devices, runs=True)
  state = mesh.stack([meta.init_state(params, sgd)] * 4, devices)
  tasks = stack([jax.tree.map(lambda x: cut(x, 2 // along), run) for run in runs])
  state = step(state, mesh.put(tasks, devices, runs=True))[0]
  moved = jax.tree.map(lambda a, b: np.asarray(a) - b, state.params, params)
  error = grids.difference(moved, stack(alone))
  print('runs', along, error, flush=True)
  assert error < 1e-12, (along, error)
"""


@pytest.mark.slow
def test_two_devices_agree_with_one():
  flags = '--xla_force_host_platform_device_count=2'
  env = {**os.environ, 'XLA_FLAGS': flags, 'JAX_PLATFORMS': 'cpu'}
  done = subprocess.run(
    [sys.executable, '-c', PROGRAM], env=env, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
