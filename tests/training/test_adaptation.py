"""Adaptation by itself: the steps it takes, and that other labels compile nothing."""

import jax.numpy as jnp
import numpy as np
import pytest

from metalog_jax import types
from metalog_jax.batches import sequences
from metalog_jax.meta import inner
from metalog_jax.nets import grid
from metalog_jax.training import adaptation
from tests import builders

RATE, STEPS = 0.5, 4
READING = sequences.Reading(collapse=0)
CONFIG = inner.MetaConfig(RATE, 2, support_per_step=False)
VECTORS = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)


class Counted:
  """A loss that is linear in the sum of a session's vectors, and how often traced."""

  def __init__(self):
    self.traces = 0

  def __call__(self, params, batch):
    self.traces += 1
    cells = jnp.asarray(batch.vectors)[batch.events.ravel()]
    scores = grid.sums(cells, batch) @ params
    return jnp.sum(batch.weights * (scores - batch.labels) ** 2)


def target(seed: int, shortest: int = 5, longest: int = 30) -> types.Dataset:
  """Ten labelled sessions of each class."""
  rng = np.random.default_rng(seed)
  rows = [rng.integers(0, 9, n).tolist() for n in rng.integers(shortest, longest, 20)]
  labels = [0] * 10 + [1] * 10
  return types.Dataset('t', builders.sessions(rows, labels), VECTORS)


@pytest.fixture(name='loss')
def fixture_loss() -> Counted:
  return Counted()


@pytest.fixture(name='adapt')
def fixture_adapt(loss):
  settings = adaptation.Settings(STEPS, rounds=0)
  return adaptation.make_adapt(
    loss, lambda params, batch: None, CONFIG, settings, READING
  )


def by_hand(data: types.Dataset, params: np.ndarray, steps: int) -> np.ndarray:
  sums = [
    VECTORS[part].sum(0)
    for part in np.split(data.sessions.events, data.sessions.offsets[1:-1])
  ]
  x, labels = np.array(sums, np.float64), data.sessions.labels
  for _ in range(steps):
    params = params - RATE * 2 * (x.T @ (x @ params - labels)) / 10
  return params


@pytest.mark.parametrize('steps', [0, 1, STEPS, 99])
def test_it_takes_steps_in_which_both_classes_weigh_one(adapt, steps):
  data = target(0, 1, 2)  # short: so large steps stay near
  start = np.ones(3, np.float32)
  found, report = adapt(start, types.Transfer((), data), 0, steps=steps)
  expected = by_hand(data, start.astype(np.float64), min(steps, STEPS))
  np.testing.assert_allclose(found, expected, rtol=1e-4)
  assert report['steps'] == min(steps, STEPS) and report['seconds'] > 0


def test_other_labels_and_numbers_of_steps_compile_nothing(adapt, loss):
  start, traces = np.zeros(3, np.float32), []
  for seed in range(8):
    adapt(start, types.Transfer((), target(seed)), 0, steps=1 + seed % STEPS)
    traces.append(loss.traces)
  assert len(set(traces)) <= 2, 'one program, or two where one more row is needed'
  assert traces[0]


def test_longer_sessions_are_not_cut(adapt):
  start, data = np.zeros(3, np.float32), target(1, 90, 97)
  found, _ = adapt(start, types.Transfer((), data), 0, steps=1)
  np.testing.assert_allclose(found, by_hand(data, start.astype(float), 1), rtol=1e-4)


def test_pseudo_labels_join_in_rooms_that_hold_them(loss):
  """Sessions without labels get them, weigh as much as the labelled ones, and fit."""
  settings = adaptation.Settings(STEPS, confidence=0.5, rounds=2, most_pseudo=4)
  sure = lambda params, batch: 1.0 * (batch.events.sum() % 2 + 0 * batch.labels)
  adapt = adaptation.make_adapt(loss, sure, CONFIG, settings, READING)
  data = target(2)
  labels = data.sessions.labels.copy()
  labels[[0, 1, 2, 3, 4, 5, 10, 11, 12, 13]] = -1
  data = data._replace(sessions=data.sessions._replace(labels=labels))
  found, report = adapt(np.zeros(3, np.float32), types.Transfer((), data), 0)
  assert np.isfinite(found).all()
  assert report['unlabelled'] == 10 and (report['pseudo'][0] >= 0).sum() == 10
