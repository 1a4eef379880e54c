"""DeepLog: its windows by hand, and what it alerts on."""

import dataclasses

import jax
import numpy as np
import pytest

from metalog_jax import types
from metalog_jax.detectors import deeplog
from metalog_jax.evaluation import scoring
from tests import builders
from tests.detectors import systems

CONFIG = dataclasses.replace(systems.small(deeplog.Config()), window=2, top=1)
VECTORS = np.zeros((6, 1), np.float32)


@pytest.fixture(autouse=True, scope='module')
def quick_compilation():
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)


def dataset(rows, labels=None):
  return types.Dataset('x', builders.sessions(rows, labels), VECTORS)


def test_windows_by_hand():
  data = dataset([[1, 2, 3], [1, 2, 3], [1, 4], [5, 5]], [0, 0, 0, 1])
  pool = deeplog.windows(CONFIG, data)
  found = {}
  for row, next_event in enumerate(pool.targets):
    i = pool.seqs.inverse[row]
    window = pool.seqs.events[pool.seqs.offsets[i] : pool.seqs.offsets[i + 1]]
    found[tuple(window.tolist()), int(next_event)] = int(np.sum(pool.normals == row))
  assert found == {
    ((), 1): 3,
    ((1,), 2): 2,
    ((1, 2), 3): 2,
    ((1,), 4): 1,
  }
  assert pool.vectors.shape == (6, 6)
  np.testing.assert_array_equal(deeplog.seen(data), [0, 1, 1, 1, 1, 0])


@pytest.fixture(name='fitted', scope='module')
def fixture_fitted():
  config = dataclasses.replace(CONFIG, epochs=60)
  detector = deeplog.make_detector(config)
  target = dataset([[1, 2, 3, 4]] * 20, [0] * 20)
  transfer = types.Transfer((), target)
  state, step = (
    detector.init(jax.random.key(0), transfer),
    jax.jit(detector.training.step),
  )
  stream = detector.training.batches(transfer, 0)
  for i in range(stream.num_steps):
    state, _ = step(state, detector.training.put(stream.draw(i)))
  return detector, state


def test_what_is_expected_is_normal_and_what_never_was_is_not(fitted):
  detector, state = fitted
  rows = [[1, 2, 3, 4], [1, 2, 4, 4], [1, 2, 3, 5], [5], [1], []]
  scores = scoring.Scorer(detector).scores(state, dataset(rows))
  threshold, where = detector.threshold(state, None, None)
  assert (threshold, where) == (1.0, 'top_g')
  verdicts = scores > threshold
  np.testing.assert_array_equal(verdicts, [False, True, True, True, False, False])
  assert scores[2] == scores[3] == 7, 'an unseen event comes after all others'


def test_other_systems_are_refused(fitted):
  detector, state = fitted
  other = dataset([[1]])._replace(vectors=np.zeros((9, 1), np.float32))
  with pytest.raises(ValueError, match='--test=rest'):
    scoring.Scorer(detector).scores(state, other)
  with pytest.raises(ValueError, match='--target'):
    detector.training.batches(types.Transfer((dataset([[1]]),), None), 0)
