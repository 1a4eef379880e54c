"""MetaLog's own meta-step: modes, layouts and padding agree; all of it learns."""

import dataclasses

import jax
import numpy as np
import pytest

from metalog_jax import meta
from metalog_jax.nets import metalog
from tests import grids
from tests.meta import problems

PAPER = metalog.Network(hidden=3, layers=1)
FORMS = {
  'paper': PAPER,
  'released': dataclasses.replace(
    PAPER, bidirectional=True, attention='guide', head='linear'
  ),
}


def make(network):
  return problems.logs(network, steps=2, dim=3, lengths=(4, 3, 3, 1), rows=5)


def meta_grad(problem, task, **change):
  config = dataclasses.replace(problems.METALOG, **change)
  return jax.jit(lambda p: meta.value_and_meta_grad(problem.loss_fn, p, task, config))(
    problem.params
  )


@pytest.mark.parametrize(
  'form', ['paper', pytest.param('released', marks=pytest.mark.slow)]
)
def test_modes_and_layouts_agree_and_all_learns(form):
  problem = make(FORMS[form])
  value, grads = result = meta_grad(problem, problem.task)
  for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
    assert np.isfinite(leaf).all() and np.abs(leaf).max() > 1e-9, path

  reverse = meta_grad(problem, problem.task, gradient='reverse')
  assert grids.difference(reverse, result) < 1e-12

  support, query = problem.task
  slices = [jax.tree.map(lambda x: x[i], support) for i in range(2)]  # noqa: B023
  padded = problem.task._replace(
    support=problems.stack([grids.relaid(s, more=2) for s in slices]),
    query=grids.relaid(query, [3, 0, 4, 1, 2]),
  )
  assert grids.difference(meta_grad(problem, padded), result) < 1e-12

  if not FORMS[form].bidirectional:
    shared = problem.task._replace(query=grids.relaid(query, share=True))
    assert grids.difference(meta_grad(problem, shared), result) < 1e-12


def test_tasks_of_padding_alone_are_harmless():
  problem = make(PAPER)
  empty = jax.tree.map(np.copy, problem.task.support)
  empty.sessions[0], empty.weights[0] = len(empty.labels[0]), 0
  task = problem.task._replace(support=empty)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(meta_grad(problem, task)))


def test_in_bfloat16_gradients_are_float32_and_close():
  exact, rough = (
    make(dataclasses.replace(PAPER, dtype=dtype)) for dtype in (None, 'bfloat16')
  )
  single = lambda x: x.astype(np.float32) if x.dtype == np.float64 else x
  params, task = jax.tree.map(single, (rough.params, rough.task))
  value, grads = result = meta_grad(rough._replace(params=params), task)
  assert all(leaf.dtype == np.float32 for leaf in [value, *jax.tree.leaves(grads)])
  assert 1e-6 < grids.difference(result, meta_grad(exact, exact.task)) < 3e-2
