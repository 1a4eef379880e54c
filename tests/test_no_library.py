"""The tutorial and the library take the same step."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import no_library_maml
from experiments.benches import reference_gru, variants, workloads
from metalog_jax import meta
from metalog_jax.nets import losses
from metalog_jax.nets import metalog as nets

WORKLOAD = workloads.WORKLOADS['tiny']


@pytest.fixture(scope='module', autouse=True)
def float64():
  jax.config.update('jax_disable_most_optimizations', True)
  with jax.enable_x64(True):
    yield
  jax.config.update('jax_disable_most_optimizations', False)


def test_it_is_at_most_80_lines():
  assert len(pathlib.Path(no_library_maml.__file__).read_text().splitlines()) <= 80


def test_its_step_is_the_librarys():
  """Its gradient is read from Adam's first moment, its update held to optax's."""
  draws = workloads.Draws(WORKLOAD, 'prefixes', {})
  support, query = draws.padded(0, trim=False)
  support = jax.tree.map(lambda *x: np.stack(x), *map(reference_gru.batch, support))
  params = workloads.params(WORKLOAD)
  own = reference_gru.nested(params)
  zeros = jax.tree.map(jnp.zeros_like, own)
  new, m, *_ = no_library_maml.meta_step(
    own, zeros, zeros, 1, support, reference_gru.batch(query)
  )
  found = {n: np.asarray(x) / 0.1 for n, x in reference_gru.flat(m).items()}
  expected = _library(draws, params)
  for name, x in expected.items():
    np.testing.assert_allclose(found[name], x, rtol=0, atol=1e-12 * np.abs(x).max())
  optimizer = optax.adam(2e-3)
  params = {n: x.astype(np.float64) for n, x in params.items()}
  params = optax.apply_updates(
    params, optimizer.update(expected, optimizer.init(params))[0]
  )
  for name, x in reference_gru.flat(new).items():
    np.testing.assert_allclose(x, params[name], rtol=1e-9)


def _library(draws, params):
  """The library's meta-gradient of the same sessions, shared as much as can be."""
  task = jax.tree.map(lambda x: x[0, 0], draws.task(0))
  net = nets.Network(hidden=WORKLOAD.hidden, layers=WORKLOAD.layers)
  config = meta.MetaConfig(
    inner_lr=2e-3,
    inner_steps=WORKLOAD.inner_steps,
    support_weight=1.0,
    query_weight=4.0,
    support_per_step=True,
  )

  def loss(params, batch):
    logits = net.apply({'params': params}, batch)
    return losses.cross_entropy(logits, batch.labels, batch.weights)

  run = jax.jit(lambda params, task: meta.meta_grad(loss, params, task, config))
  nested = variants.nest({n: x.astype(np.float64) for n, x in params.items()})
  return variants.flatten(run(nested, task))
