"""Every way beside the exact one, on a small problem in float64."""

import dataclasses

import numpy as np
import pytest

from metalog_jax import meta
from metalog_jax.meta import compare, gradients, study
from tests.meta import problems, test_ways

PROBLEM = test_ways.one_task(problems.regression(3))
CONFIG = meta.MetaConfig(inner_lr=0.2, inner_steps=3, query_weight=2.0)
MEASURE = study.apart(PROBLEM.loss_fn)


def measured(config, names=None):
  names = names or study.variants(config)
  return MEASURE(PROBLEM.params, PROBLEM.task, config, names)


def test_ways_are_as_far_as_what_they_leave_out():
  found = measured(CONFIG)
  far = {way: parts[compare.ALL].difference for way, parts in found.items()}
  assert max(far[way] for way in gradients.EXACT) < 1e-12
  assert 1e-2 < far['truncated 2'] < far['truncated 1'] < far['first']
  assert far['reptile'] > far['first']
  assert list(found['first']) == [compare.ALL, study.QUERY, 'b', 'v', 'w']


def test_first_order_is_what_it_is_by_hand():
  grads = {
    order: test_ways.meta_grad(PROBLEM, dataclasses.replace(CONFIG, order=order))[1]
    for order in ('first', 'second')
  }
  expected = compare.distance(grads['first'], grads['second'])
  parts = measured(CONFIG, ['first'])['first']
  assert parts[compare.ALL] == pytest.approx(expected, rel=1e-9)
  # The support's term is exact either way: without it the same error is a larger share.
  support = test_ways.meta_grad(
    PROBLEM, dataclasses.replace(CONFIG, query_weight=0.0, order='first')
  )[1]
  less = {name: grads['second'][name] - support[name] for name in support}
  size = lambda tree: np.sqrt(sum(np.sum(x**2) for x in tree.values()))
  share = expected.difference * size(grads['second']) / size(less)
  assert parts[study.QUERY].difference == pytest.approx(share, rel=1e-9)


def test_without_inner_steps_to_speak_of_every_order_is_the_same():
  found = measured(dataclasses.replace(CONFIG, inner_lr=1e-9), ['first', 'truncated 1'])
  for parts in found.values():
    assert parts[compare.ALL].cosine == pytest.approx(1, abs=1e-12)
    assert 0 < parts[compare.ALL].difference < 1e-7


def test_a_pull_of_the_objectives_own_is_kept():
  config = dataclasses.replace(CONFIG, proximal=0.3)
  ways = study.variants(config)
  assert {c.proximal for c in ways.values()} == {0.3} and study.PULLED not in ways
