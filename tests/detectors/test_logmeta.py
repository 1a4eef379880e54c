"""LogMeta as a detector: it adapts, sees only what it may, and tells what it did."""

import jax
import numpy as np
import pytest

from metalog_jax import flags, types
from metalog_jax.batches import episodes
from metalog_jax.detectors import logmeta
from metalog_jax.evaluation import metrics, scoring
from metalog_jax.training import loop
from tests.detectors import test_metalog

SMALL = flags.replace(
  logmeta.Config(),
  hidden=6,
  shots=3,
  queries=4,
  tasks=2,
  inner_steps=2,
  inner_lr=0.3,
  outer_lr=3e-2,
  steps=60,
)
ORDER = np.array([0, 4, 3, 2, 1])


def stream(transfer: types.Transfer) -> types.Stream:
  return episodes.episode_stream(
    SMALL.tasks, SMALL.reading, SMALL.steps, transfer, seed=0
  )


def hide(data: types.Dataset, normal: int, anomalous: int) -> types.Dataset:
  """Only so many labels of each class are left."""
  labels = data.sessions.labels.copy()
  for label, kept in ((0, normal), (1, anomalous)):
    labels[np.flatnonzero(data.sessions.labels == label)[kept:]] = -1
  return data._replace(sessions=data.sessions._replace(labels=labels))


@pytest.fixture(name='transfer', scope='module')
def fixture_transfer() -> types.Transfer:
  sources = tuple(test_metalog.make_system(s, np.arange(5)) for s in (0, 1))
  return types.Transfer(sources, hide(test_metalog.make_system(2, ORDER), 5, 5))


@pytest.fixture(name='fitted', scope='module')
def fixture_fitted(transfer, tmp_path_factory):
  detector = logmeta.make_detector(SMALL)
  folder = tmp_path_factory.mktemp('run')
  return detector, loop.fit(detector, transfer, None, 0, folder, loop.Options())


def auroc(detector, state) -> float:
  test = test_metalog.make_system(3, ORDER, 200)
  scores = scoring.Scorer(detector).scores(state, test)
  return metrics.measure(test.sessions.labels, scores, 0.5)['auroc']


def test_it_learns_to_adapt(fitted, transfer):
  detector, result = fitted
  state, report = detector.adapt(result.state, transfer, 0)
  assert jax.tree.structure(state) == jax.tree.structure(result.state)
  assert auroc(detector, state) > 0.9
  assert (report['normal'], report['anomalous'], report['steps']) == (5, 5, 10)


def test_no_steps_leave_what_training_left(fitted, transfer):
  detector, result = fitted
  state, report = detector.adapt(result.state, transfer, 0, steps=0)
  assert all(jax.tree.leaves(jax.tree.map(np.array_equal, state, result.state)))
  assert report['pseudo'] == []


def test_training_never_sees_the_target(transfer):
  without = transfer._replace(target=None)
  a, b = (stream(t).draw(3) for t in (transfer, without))
  assert all(jax.tree.leaves(jax.tree.map(np.array_equal, a, b)))


def test_pseudo_labels_are_given_to_the_unlabelled_alone(fitted, transfer):
  detector, result = fitted
  _, report = detector.adapt(result.state, transfer, 0)
  labels = transfer.target.sessions.labels
  truth = test_metalog.make_system(2, ORDER).sessions.labels
  assert 1 <= len(report['pseudo']) <= SMALL.adapt.rounds
  taken = [x >= 0 for x in report['pseudo']]
  assert all(np.all(labels[t] < 0) for t in taken)
  assert all(np.all(b[a]) for a, b in zip(taken, taken[1:]))  # they stay
  last = report['pseudo'][-1]
  assert np.mean(last[last >= 0] == truth[last >= 0]) > 0.8
  _, report = detector.adapt(result.state, transfer, 0, rounds=0)
  assert report['pseudo'] == []


def test_hidden_labels_change_nothing(fitted, transfer):
  """Without pseudo-labels, unlabelled sessions might as well not be there."""
  detector, result = fitted
  target = transfer.target
  kept = target.sessions.take(np.flatnonzero(target.sessions.labels >= 0))
  without = transfer._replace(target=target._replace(sessions=kept))
  states = [
    detector.adapt(result.state, t, 0, rounds=0)[0] for t in (transfer, without)
  ]
  for a, b in zip(*map(jax.tree.leaves, states)):
    np.testing.assert_allclose(a, b, atol=1e-6)


SLOW = [
  pytest.param(name, marks=pytest.mark.slow)
  for name in ('anil', 'meta_sgd', 'maml_pp', 'reptile')
]


@pytest.mark.parametrize('preset', ['scratch', *SLOW])
def test_every_kin_takes_a_step_and_adapts(preset, transfer):
  change = {'hidden': 2, 'tasks': 2, 'shots': 2, 'queries': 2, 'adapt_steps': 2}
  config = flags.replace(logmeta.PRESETS[preset], **change)
  detector = logmeta.make_detector(config)
  state = detector.init(jax.random.key(0), transfer)
  start = jax.device_get(state)
  training = detector.training
  stream = training.batches(transfer, 0)
  if stream.num_steps:
    state, found = training.step(state, training.put(stream.draw(0)))
    assert np.isfinite(found['loss'])
  before = jax.device_get(state.params)
  adapted, _ = detector.adapt(state, transfer, 0, rounds=0)
  same = jax.tree.map(np.array_equal, before, jax.device_get(adapted.params))
  same = same.params if config.meta.rates != 'fixed' else same
  assert not any(same['head'].values())
  assert all(jax.tree.leaves(same['lstm'])) == (preset == 'anil')
  assert jax.tree.structure(start) == jax.tree.structure(adapted)


def test_labels_and_sources_are_needed(fitted, transfer):
  detector, result = fitted
  bare = transfer._replace(target=hide(transfer.target, 0, 0))
  with pytest.raises(ValueError, match='--target_normals'):
    detector.adapt(result.state, bare, 0)
  with pytest.raises(ValueError, match='--source'):
    stream(transfer._replace(sources=()))


def test_presets_are_hashable_and_frozen():
  assert len(set(logmeta.PRESETS.values())) == len(logmeta.PRESETS)
