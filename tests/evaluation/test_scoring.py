"""Scores of one session at a time are those of all at once, by few programs."""

import jax
import numpy as np
import pytest

from metalog_jax import flags, types
from metalog_jax.detectors import logmeta
from metalog_jax.evaluation import scoring
from tests import builders

LENGTHS = (1, 7, 9, 14, 20, 31, 40, 70, 96)


@pytest.fixture(name='data', scope='module')
def fixture_data() -> types.Dataset:
  rng = np.random.default_rng(0)
  rows = [rng.integers(0, 150, n).tolist() for n in LENGTHS]
  vectors = rng.normal(size=(150, 3)).astype(np.float32)
  return types.Dataset('x', builders.sessions(rows), vectors)


@pytest.fixture(name='made', scope='module')
def fixture_made(data):
  detector = logmeta.make_detector(
    flags.replace(logmeta.Config(), hidden=2, collapse=0)
  )
  state = detector.init(jax.random.key(0), types.Transfer((), data))
  return scoring.Scorer(detector), state


def one(data: types.Dataset, i: int) -> types.Dataset:
  return data._replace(sessions=data.sessions.take(np.array([i])))


def test_a_session_alone_has_its_score_among_others(made, data):
  scorer, state = made
  among = scorer.scores(state, data)
  alone = [scorer.scores(state, one(data, i))[0] for i in range(len(LENGTHS))]
  np.testing.assert_allclose(alone, among, atol=1e-6)
  assert len(np.unique(among)) == len(LENGTHS)
  programs = scorer._score._cache_size()
  for i in range(len(LENGTHS)):  # nothing is compiled for what was seen
    scorer.scores(state, one(data, i))
  assert scorer._score._cache_size() == programs <= 9 * jax.device_count()


def test_what_stays_is_put_on_the_device_once(made, data, monkeypatch):
  scorer, state = made
  before = scorer.scores(state, data)
  put = jax.device_put
  monkeypatch.setattr(jax, 'device_put', lambda *_: pytest.fail('put again'))
  np.testing.assert_array_equal(scorer.scores(state, data), before)
  monkeypatch.setattr(jax, 'device_put', put)
  changed = state._replace(params=jax.tree.map(lambda x: 2 * x, state.params))
  assert not np.allclose(scorer.scores(changed, data), before)
  np.testing.assert_array_equal(scorer.scores(state, data), before)
  other = scorer.scores(state, data._replace(vectors=data.vectors[::-1]))
  assert not np.allclose(other, before)
