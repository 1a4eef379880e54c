"""MetaLog as a detector: it learns, and sees only what it may."""

import dataclasses
import typing

import jax
import numpy as np
import pytest

from metalog_jax import errors, flags, types
from metalog_jax.batches import metalog_batches
from metalog_jax.detectors import metalog
from metalog_jax.evaluation import metrics, scoring
from metalog_jax.meta import gradients
from metalog_jax.nets import attention as nets_attention
from metalog_jax.training import base, loop
from tests import builders

SMALL = flags.replace(
  metalog.Config(),
  hidden=8,
  layers=1,
  batch=16,
  parts=4,
  inner_steps=2,
  steps=60,
  outer_lr=2e-2,
  patience=0,
)


def stream(config, transfer: types.Transfer, seed: int) -> types.Stream:
  pools = metalog_batches.pools(config, transfer, seed)
  return metalog_batches.meta_stream(config, *pools, seed)


def make_system(seed: int, order: np.ndarray, num: int = 120) -> types.Dataset:
  """Failure that is not followed by recovery is an anomaly; ids differ by system."""
  rng = np.random.default_rng(seed)
  meaning = np.array([[0, 0], [1, 0], [0, 1], [-1, -1], [-1, 1]], np.float32)
  rows, labels = [], []
  for _ in range(num):
    row = rng.integers(1, 3, rng.integers(3, 9)).tolist()
    kind = rng.integers(0, 6)
    if kind == 0:
      row += [3]
    elif kind == 1:
      row += [3, 1, 4]
    rows.append([int(order[e]) for e in row])
    labels.append(int(kind == 0))
  vectors = np.zeros_like(meaning)
  vectors[order] = meaning
  return types.Dataset(f's{seed}', builders.sessions(rows, labels), vectors)


def test_fewer_sessions_than_parts_and_none_with_a_label():
  few, target = (make_system(i, np.arange(5), num) for i, num in ((0, 3), (1, 20)))
  hide = lambda data: data._replace(
    sessions=data.sessions._replace(labels=np.full(data.sessions.num, -1, np.int8))
  )
  batch = stream(SMALL, types.Transfer((few,), target), 0).draw(0).support
  assert batch.weights.any()
  for hidden, flag in (
    (((hide(few),), target), '--source'),
    (((few,), hide(target)), '--target'),
  ):
    with pytest.raises(errors.UserError, match=f'labelled sessions of {flag}'):
      stream(SMALL, types.Transfer(*hidden), 0)


def test_it_offers_every_gradient_but_the_oracle():
  choices = {s.field: set(s.choices) for s in flags.describe('m', metalog.Config())}
  assert choices['gradient'] == set(typing.get_args(gradients.Gradient)) - {'finite'}
  assert choices['order'] == set(typing.get_args(gradients.Order))
  hints = typing.get_type_hints(metalog.Network)
  assert hints['pooling'] == nets_attention.Pooling


@pytest.fixture(name='transfer', scope='module')
def fixture_transfer() -> types.Transfer:
  source = make_system(0, np.arange(5))
  target = make_system(1, np.array([0, 4, 3, 2, 1]))
  labels = target.sessions.labels.copy()
  labels[np.flatnonzero(labels == 1)[2:]] = -1
  sessions = target.sessions._replace(labels=labels)
  return types.Transfer((source,), target._replace(sessions=sessions))


@pytest.fixture(name='fitted', scope='module')
def fixture_fitted(transfer, tmp_path_factory):
  detector = metalog.make_detector(SMALL)
  folder = tmp_path_factory.mktemp('run')
  return detector, loop.fit(detector, transfer, None, 0, folder, loop.Options())


def test_the_mean_of_the_states_has_no_attention_to_learn(transfer):
  detector = metalog.make_detector(flags.replace(SMALL, attention='mean'))
  state = detector.init(jax.random.key(0), transfer)
  assert set(state.params) == {'gru', 'head'}


def test_it_learns_from_the_source(fitted):
  _check(*fitted)


@pytest.mark.slow
def test_it_learns_in_bfloat16(transfer, tmp_path):
  detector = metalog.make_detector(flags.replace(SMALL, dtype='bfloat16'))
  result = loop.fit(detector, transfer, None, 0, tmp_path, loop.Options())
  assert {x.dtype for x in jax.tree.leaves(result.state.params)} == {
    np.dtype('float32')
  }
  _check(detector, result)


def _check(detector, result):
  test = make_system(2, np.array([0, 4, 3, 2, 1]), 200)
  scores = scoring.Scorer(detector).scores(result.state, test)
  assert scores.shape == (200,) and np.all((scores >= 0) & (scores <= 1))
  assert metrics.measure(test.sessions.labels, scores, 0.5)['auroc'] > 0.9


def test_scores_do_not_depend_on_the_batch(fitted):
  detector, result = fitted
  test = make_system(3, np.arange(5), 40)
  scorer = scoring.Scorer(detector)
  together = scorer.scores(result.state, test)
  for i in (0, 7, 39):
    alone = test._replace(sessions=test.sessions.take(np.array([i])))
    assert scorer.scores(result.state, alone)[0] == pytest.approx(together[i], abs=1e-6)


def test_weights_share_out_every_session(fitted):
  detector, result = fitted
  test = make_system(4, np.arange(5), 30)
  shares = scoring.Scorer(detector).weights(result.state, test)
  assert [len(x) for x in shares] == test.sessions.lengths.tolist()
  np.testing.assert_allclose([x.sum() for x in shares], 1, rtol=1e-5)


def test_a_draw_is_a_function_of_seed_and_step(transfer):
  first, again = (stream(SMALL, transfer, 3) for _ in range(2))
  again.draw(0)
  same = jax.tree.map(np.array_equal, first.draw(5), again.draw(5))
  assert all(jax.tree.leaves(same))
  other = stream(SMALL, transfer, 4).draw(5)
  assert not np.array_equal(first.draw(5).support.events, other.support.events)


def test_erased_labels_change_nothing(transfer):
  """Sessions without a label might as well be anything."""
  target = transfer.target
  hidden = np.flatnonzero(target.sessions.labels < 0)
  seen = base.blind(transfer, metalog.needs(SMALL)).target.sessions.labels
  assert np.all(seen[hidden] == -1)
  kept = target.sessions.take(np.flatnonzero(target.sessions.labels >= 0))
  without = transfer._replace(target=target._replace(sessions=kept))
  a, b = (stream(SMALL, t, 0).draw(2).query for t in (transfer, without))
  np.testing.assert_array_equal(
    np.sum(a.weights * a.labels), np.sum(b.weights * b.labels)
  )


def test_zero_shot_learns_from_several_sources(transfer):
  sources = (*transfer.sources, make_system(5, np.arange(5)))
  task = stream(SMALL, types.Transfer(sources, None), 0).draw(0)
  assert task.support.labels.shape[:3] == (1, 1, SMALL.meta.inner_steps)
  one = stream(SMALL, types.Transfer(sources[:1], None), 0).draw(0)
  assert one.query.weights.sum() == SMALL.sampling.batch


def test_presets_are_hashable_and_frozen():
  assert len(set(metalog.PRESETS.values())) == len(metalog.PRESETS)
  with pytest.raises(dataclasses.FrozenInstanceError):
    metalog.Config().hidden = 3


def test_a_source_is_needed(transfer):
  with pytest.raises(ValueError, match='--source'):
    stream(SMALL, transfer._replace(sources=()), 0)
  alone = flags.replace(SMALL, inner_steps=0, source_weight=0.0)
  assert stream(alone, transfer._replace(sources=()), 0).draw(0).support == ()
