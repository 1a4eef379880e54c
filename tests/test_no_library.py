"""The tutorial and the library take the same step."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import no_library_maml
from experiments.benches import jax_variants, reference, workloads
from metalog_jax import meta, types
from metalog_jax.detectors import pools
from metalog_jax.nets import losses
from metalog_jax.nets import metalog as nets

WORKLOAD = workloads.WORKLOADS['tiny']


@pytest.fixture(scope='module', autouse=True)
def float64():
  jax.config.update('jax_disable_most_optimizations', True)
  with jax.enable_x64(True):
    yield
  jax.config.update('jax_disable_most_optimizations', False)


@pytest.fixture(scope='module')
def draws():
  return workloads.Draws(WORKLOAD, 'prefixes', {})


def test_it_is_at_most_80_lines():
  assert len(pathlib.Path(no_library_maml.__file__).read_text().splitlines()) <= 80


def test_its_meta_gradient_is_the_librarys(draws):
  support, query = draws.task(0)
  task = types.Task(pools.stack(support), query)
  net = nets.Network(hidden=WORKLOAD.hidden, layers=WORKLOAD.layers)
  config = meta.MetaConfig(
    WORKLOAD.inner_lr, WORKLOAD.inner_steps, query_weight=WORKLOAD.beta
  )

  def loss(params, batch):
    logits = net.apply({'params': params}, batch)
    return losses.cross_entropy(logits, batch.labels, batch.weights)

  params = {n: x.astype(np.float64) for n, x in workloads.params(WORKLOAD).items()}
  run = jax.jit(lambda params, task: meta.meta_grad(loss, params, task, config)[1])
  ours = jax_variants.flatten(run(jax_variants.nest(params), task))
  exact, first = (
    reference.meta_gradient(WORKLOAD, draws, order) for order in ('second', 'first')
  )
  far = lambda a, b: max(np.abs(a[n] - b[n]).max() / np.abs(b[n]).max() for n in b)
  assert far(ours, exact) <= 1e-12
  assert far(first, exact) > 1e-3  # the comparison tells the orders apart


def test_its_step_is_adams(draws):
  params = reference.nested(workloads.params(WORKLOAD))
  support, query = draws.padded(0, trim=False)
  support = jax.tree.map(lambda *x: np.stack(x), *map(reference.batch, support))
  query = reference.batch(query)
  optimizer = optax.adam(2e-3)
  state, expected = optimizer.init(params), params
  zeros = jax.tree.map(jnp.zeros_like, params)
  own, m, v = params, zeros, zeros
  gradient = jax.jit(jax.grad(no_library_maml.meta_loss))
  for t in (1, 2):
    grads = gradient(expected, support, query)
    updates, state = optimizer.update(grads, state)
    expected = optax.apply_updates(expected, updates)
    own, m, v, _ = no_library_maml.meta_step(own, m, v, t, support, query)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), own, expected)
