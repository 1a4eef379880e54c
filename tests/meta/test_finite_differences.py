"""The meta-gradient against central differences of the meta-loss."""

import dataclasses

import jax
import jax.flatten_util
import numpy as np
import pytest

from metalog_jax import meta
from metalog_jax.nets import logmeta, metalog
from tests.meta import problems

FORMS = {
  'paper': metalog.Network(hidden=4),
  'released': metalog.Network(
    hidden=4, layers=1, bidirectional=True, attention='guide', head='linear'
  ),
  'logmeta': logmeta.Network(hidden=3),
}
OTHERS = ('released', 'logmeta')


def errors(problem, config, directions, orders):
  """The relative error of the meta-gradient's slopes, for each order."""
  loss = lambda p: meta.meta_loss(problem.loss_fn, p, problem.task, config)
  exact = problems.central_differences(loss, problem.params, directions)

  def error(order):
    chosen = dataclasses.replace(config, order=order)
    grad = lambda p: meta.meta_grad(problem.loss_fn, p, problem.task, chosen)
    grads = jax.flatten_util.ravel_pytree(jax.jit(grad)(problem.params))[0]
    slopes = directions @ np.asarray(grads)
    return np.abs(slopes - exact).max() / np.abs(exact).max()

  return [error(order) for order in orders]


@pytest.mark.parametrize(
  'form', ['paper', *(pytest.param(f, marks=pytest.mark.slow) for f in OTHERS)]
)
def test_every_coordinate(form):
  problem = problems.logs(FORMS[form], steps=2, dim=3, lengths=(4, 3, 3, 1), rows=5)
  size = jax.flatten_util.ravel_pytree(problem.params)[0].size
  second, first = errors(problem, problems.METALOG, np.eye(size), ('second', 'first'))
  assert second <= 1e-6
  assert first > 1e-3  # the test has the power to tell them apart


@pytest.mark.slow
def test_directions_on_the_full_network():
  lengths = tuple(sorted(np.random.default_rng(0).integers(1, 25, 20), reverse=True))
  problem = problems.logs(
    metalog.Network(hidden=100),
    steps=5,
    dim=50,
    lengths=lengths,
  )
  config = dataclasses.replace(problems.METALOG, inner_steps=5)
  size = jax.flatten_util.ravel_pytree(problem.params)[0].size
  directions = np.random.default_rng(1).normal(size=(50, size)) / np.sqrt(size)
  second, first = errors(problem, config, directions, ('second', 'first'))
  assert second <= 1e-6
  assert first > 1e-3
