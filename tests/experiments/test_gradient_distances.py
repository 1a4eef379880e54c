"""Distances between gradients against numpy; every mode beside the exact one."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from experiments.studies import gradient_distances
from metalog_jax import meta
from metalog_jax.meta import gradients
from tests.meta import conftest, problems, test_modes

float64 = conftest.float64

PROBLEM = test_modes.one_task(problems.regression(3))
CONFIG = meta.MetaConfig(
  inner_lr=0.2, inner_steps=3, query_weight=2.0, **problems.SPLITS
)
MEASURE = gradient_distances.make_measure(PROBLEM.loss_fn)


def measured(config, names=None):
  names = names or gradient_distances.modes(config)
  return MEASURE(PROBLEM.params, PROBLEM.task, config, names)


def test_ways_are_as_far_as_what_they_leave_out():
  found = measured(CONFIG)
  far = {
    mode: parts[gradient_distances.ALL].difference for mode, parts in found.items()
  }
  assert max(far[mode] for mode in gradients.EXACT) < 1e-12
  assert 1e-2 < far['truncated 2'] < far['truncated 1'] < far['first']
  assert far['reptile'] > far['first']
  assert list(found['first']) == [gradient_distances.ALL, gradient_distances.QUERY]


def test_first_order_is_what_it_is_by_hand():
  grads = {
    order: test_modes.meta_grad(PROBLEM, dataclasses.replace(CONFIG, order=order))[1]
    for order in ('first', 'second')
  }
  expected = gradient_distances.distance(grads['first'], grads['second'])
  parts = measured(CONFIG, ['first'])['first']
  assert parts[gradient_distances.ALL] == pytest.approx(expected, rel=1e-9)
  # The support's term is exact either way: without it the same error is a larger share.
  support = test_modes.meta_grad(
    PROBLEM, dataclasses.replace(CONFIG, query_weight=0.0, order='first')
  )[1]
  less = {name: grads['second'][name] - support[name] for name in support}
  size = lambda tree: np.sqrt(sum(np.sum(x**2) for x in tree.values()))
  share = expected.difference * size(grads['second']) / size(less)
  assert parts[gradient_distances.QUERY].difference == pytest.approx(share, rel=1e-9)


def test_without_inner_steps_to_speak_of_every_order_is_the_same():
  found = measured(dataclasses.replace(CONFIG, inner_lr=1e-9), ['first', 'truncated 1'])
  for parts in found.values():
    assert parts[gradient_distances.ALL].cosine == pytest.approx(1, abs=1e-12)
    assert 0 < parts[gradient_distances.ALL].difference < 1e-7


def test_a_pull_of_the_objectives_own_is_kept():
  config = dataclasses.replace(CONFIG, proximal=0.3)
  configs = gradient_distances.modes(config)
  assert {c.proximal for c in configs.values()} == {
    0.3
  } and gradient_distances.PULLED not in configs


RNG = np.random.default_rng(0)
A, B = (
  {'gru': {'w': RNG.normal(size=(3, 2)), 'b': RNG.normal(size=2)}, 'head': RNG.normal()}
  for _ in range(2)
)


def flat(tree):
  return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


def by_numpy(a, b):
  a, b = flat(a), flat(b)
  size = lambda x: np.sqrt(np.sum(x**2))
  return a @ b / size(a) / size(b), size(a - b) / size(b), size(a) / size(b), size(b)


def test_the_whole_against_numpy():
  assert gradient_distances.distance(A, B) == pytest.approx(by_numpy(A, B), rel=1e-13)


def test_a_multiple_has_the_same_direction():
  three = jax.tree.map(lambda x: -3 * x, B)
  assert gradient_distances.distance(three, B) == pytest.approx(
    (-1, 4, 3, gradient_distances.distance(B, B).size)
  )


def test_zeros():
  zero = np.zeros(3)
  assert gradient_distances.distance(zero, zero) == (1, 0, 1, 0)
  away = gradient_distances.distance(np.ones(3), zero)
  assert all(math.isnan(x) for x in away[:3])
  gone = gradient_distances.distance(zero, np.ones(3))
  assert math.isnan(gone.cosine) and gone[1:3] == (1, 0)


def test_other_structures_are_an_error():
  with pytest.raises(ValueError):
    gradient_distances.distance(A, {'gru': A['gru']})
