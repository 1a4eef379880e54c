"""Distances between gradients against numpy, and where they have no meaning."""

import math

import jax
import numpy as np
import pytest

from metalog_jax.meta import compare

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
  assert compare.distance(A, B) == pytest.approx(by_numpy(A, B), rel=1e-13)
  assert compare.by_part(A, B, depth=0)[compare.ALL] == compare.distance(A, B)


def test_parts_and_leaves_against_numpy():
  parts = compare.by_part(A, B)
  assert list(parts) == ['gru', 'head']
  assert parts['gru'] == pytest.approx(by_numpy(A['gru'], B['gru']), rel=1e-13)
  leaves = compare.by_part(A, B, depth=9)
  assert list(leaves) == ['gru/b', 'gru/w', 'head']
  expected = by_numpy(A['gru']['w'], B['gru']['w'])
  assert leaves['gru/w'] == pytest.approx(expected, rel=1e-13)


def test_a_multiple_has_the_same_direction():
  three = jax.tree.map(lambda x: -3 * x, B)
  assert compare.distance(three, B) == pytest.approx(
    (-1, 4, 3, compare.distance(B, B).size)
  )


def test_zeros():
  zero = np.zeros(3)
  assert compare.distance(zero, zero) == (1, 0, 1, 0)
  away = compare.distance(np.ones(3), zero)
  assert all(math.isnan(x) for x in away[:3])
  gone = compare.distance(zero, np.ones(3))
  assert math.isnan(gone.cosine) and gone[1:3] == (1, 0)


def test_other_structures_are_an_error():
  with pytest.raises(ValueError):
    compare.by_part(A, {'gru': A['gru']})
