"""Transfer components against a direct eigen-solution on kernel matrices."""

import dataclasses

import jax
import numpy as np
import pytest

from metalog_jax import types
from metalog_jax.detectors import logrobust, tca
from tests.detectors import systems

SIZES = (14, 9)


def domains(dim=6, seed=0):
  rng = np.random.default_rng(seed)
  return [rng.normal(i, 1 + i, (n, dim)) for i, n in enumerate(SIZES)]


def direct(x, sizes, num, mu):
  """Pan et al.'s matrices as printed, in the primal: X is [D, n]."""
  n = sum(sizes)
  e = np.concatenate(
    [np.full(sizes[0], 1 / sizes[0]), np.full(sizes[1], -1 / sizes[1])]
  )
  mmd = np.zeros((n, n))
  for i in range(n):
    for j in range(n):
      mmd[i, j] = e[i] * e[j]
  centring = np.eye(n) - np.ones((n, n)) / n
  left = x @ mmd @ x.T + mu * np.eye(len(x))
  values, vectors = np.linalg.eig(np.linalg.inv(left) @ (x @ centring @ x.T))
  order = np.argsort(-values.real)[:num]
  return values.real[order], vectors.real[:, order]


@pytest.mark.parametrize('mu', [0.1, 1.0, 10.0])
def test_components_are_the_direct_solution(mu):
  parts = domains()
  x = np.concatenate(parts).T
  found = tca.components(parts, [np.ones(n) for n in SIZES], 3, mu)
  values, vectors = direct(x, SIZES, 3, mu)
  for ours, theirs in zip(found.T, vectors.T):
    cosine = ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
    assert abs(cosine) == pytest.approx(1, abs=1e-9)
  centred = x - x.mean(1, keepdims=True)
  np.testing.assert_allclose(
    found.T @ centred @ centred.T @ found, np.eye(3), atol=1e-9
  )
  # the eigenvalue is variance per discrepancy and norm, and scaling is by it
  apart = (parts[0].mean(0) - parts[1].mean(0)) @ found
  cost = apart**2 + mu * (found**2).sum(0)
  np.testing.assert_allclose(1 / cost, values, rtol=1e-8)


def test_domains_come_closer():
  parts = domains()
  w = tca.components(parts, [np.ones(n) for n in SIZES], 2, 1e-3)
  gap = lambda a, b: (
    np.linalg.norm(a.mean(0) - b.mean(0)) / np.concatenate([a, b]).std()
  )
  assert gap(parts[0] @ w, parts[1] @ w) < 0.2 * gap(*parts)


def test_frequencies_are_copies():
  parts = domains()
  times = [np.arange(n) % 3 + 1 for n in SIZES]
  copied = [np.repeat(x, t, axis=0) for x, t in zip(parts, times)]
  weighted = tca.components(parts, [t.astype(float) for t in times], 3, 1.0)
  every = tca.components(copied, [np.ones(len(x)) for x in copied], 3, 1.0)
  cosine = lambda a, b: abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b)
  for a, b in zip(weighted.T[:1], every.T[:1]):
    assert cosine(a, b) > 0.99


def test_rank_and_empty_domains():
  x = np.zeros((5, 4))
  x[:, 0] = np.arange(5)
  found = tca.components([x, x[:0]], [np.ones(5), np.ones(0)], 3, 1.0)
  assert np.isfinite(found).all() and not found[:, 1:].any() and found[0, 0]
  assert not tca.components([x[:0]], [np.ones(0)], 3, 1.0).any()


def test_the_target_counts_by_its_events_alone():
  module = tca.before(logrobust, 'LogRobust')
  config = systems.small(module.Config(), components=3)
  transfer = systems.transfer()
  w = tca.align(config, transfer)
  assert w.shape == (5, 3)
  labels = np.zeros_like(transfer.target.sessions.labels)
  sessions = transfer.target.sessions._replace(labels=labels)
  other = transfer._replace(target=transfer.target._replace(sessions=sessions))
  np.testing.assert_array_equal(w, tca.align(config, other))
  alone = types.Transfer(transfer.sources, None)
  assert not np.allclose(w, tca.align(config, alone))
  with pytest.raises(dataclasses.FrozenInstanceError):
    config.components = 2


def test_training_and_scoring_see_mapped_vectors():
  module = tca.before(logrobust, 'LogRobust')
  config = systems.small(module.Config(), components=3)
  transfer = systems.transfer()
  detector = module.make_detector(config)
  state = detector.init(jax.random.key(0), transfer)
  batch = detector.training.batches(transfer, 0).draw(0).query.batch
  w = np.asarray(state.components)
  source = transfer.sources[0]
  np.testing.assert_allclose(
    batch.vectors.reshape(-1, 3)[: len(source.vectors)], source.vectors @ w, rtol=1e-5
  )
  assert state.inner.params['lstm']['weight_ih_l0'].shape[1] == 3
