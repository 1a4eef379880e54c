"""Clusters with multiplicities are those of all copies, and what labels follow."""

import numpy as np
import pytest

from metalog_jax.batches import sequences
from metalog_jax.training import pseudo_labels
from tests import builders
from tests.detectors import systems

hdbscan = pytest.importorskip('hdbscan', reason='needs the extra `baselines`')


def points(seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Three groups and some outliers, some of them many times over."""
  rng = np.random.default_rng(seed)
  centres = np.repeat([[0.0, 0, 0], [6, 0, 0], [0, 9, 3]], [40, 30, 20], axis=0)
  x = np.concatenate(
    [centres + rng.normal(size=centres.shape), rng.normal(0, 9, (9, 3))]
  )
  times = np.where(rng.random(len(x)) < 0.3, rng.integers(2, 12, len(x)), 1)
  return x, times


def partition(labels: np.ndarray) -> np.ndarray:
  """[n, n] who is with whom; noise is with nobody."""
  return (labels[:, None] == labels) & (labels[:, None] >= 0)


@pytest.mark.parametrize('seed', range(6))
def test_clusters_are_those_of_all_copies(seed):
  """The package's, for one of the orders that the copies can be given in.

  Copies make equal edges, and which of those comes first decides to which cluster a
  point in between belongs: the package itself has several results for some seeds.
  """
  x, times = points(seed)
  every = np.repeat(x, times, axis=0)
  found = pseudo_labels.clusters(x, times, min_cluster=15, min_samples=10)
  mine, score = np.repeat(found.labels, times), np.repeat(found.outlierness, times)
  assert mine.max() >= 1 and (mine == pseudo_labels.NOISE).any()
  rng, results = np.random.default_rng(0), set()
  for _ in range(40):
    order = rng.permutation(len(every))
    back = np.argsort(order)
    model = hdbscan.HDBSCAN(15, 10, algorithm='generic').fit(every[order])
    labels = partition(model.labels_[back])
    results.add(
      np.array_equal(labels, partition(mine))
      and np.allclose(model.outlier_scores_[back], score, atol=1e-8)
    )
  assert True in results
  assert False not in results or seed not in (1, 2, 5)  # where nothing is open
  alone = pseudo_labels.clusters(x, np.ones(len(x), int), 15, 10)
  assert not np.array_equal(np.repeat(alone.labels, times), mine)


def test_core_distances_count_copies():
  x, times = points(0)
  every = np.repeat(x, times, axis=0)
  apart = np.sort(np.linalg.norm(every[:, None] - every, axis=-1), axis=1)
  found = pseudo_labels.core_distances(x, times, 7)
  np.testing.assert_allclose(np.repeat(found, times), apart[:, 7], atol=1e-7)


def test_labels_by_hand():
  """PLELog's rule, case by case."""
  nan = float('nan')
  groups = pseudo_labels.Clusters(
    np.array([0, 0, 1, 1, -1, -1, 0]), np.array([0.2, 0.0, 0.6, nan, 0.9, 0.9, nan])
  )
  known = np.array([1, 0, 0, 0, 1, 0, 0], bool)
  found = pseudo_labels.probabilities(groups, known)
  np.testing.assert_allclose(found, [0.1, 0.0, 0.7, 0.5, 0.0, 1.0, 0.5])


def test_few_sessions_are_all_noise():
  for num in (0, 1, 2, 9):
    found = pseudo_labels.clusters(np.zeros((num, 2)), np.ones(num, int), 100, 100)
    assert (found.labels == pseudo_labels.NOISE).all() and len(found.labels) == num


def test_known_sessions_are_normal_and_copies_of_anomalies_equal():
  data = systems.system(3, 200)
  options = pseudo_labels.Options(ica=3, min_cluster=10, min_samples=5)
  seqs = sequences.sequences(data.sessions, 0, 99)
  targets = pseudo_labels.estimate(data, seqs, options, 0)
  normal = data.sessions.labels == 0
  assert (targets[normal] == 0).sum() >= normal.sum() / 2
  assert targets[~normal].mean() > targets[normal].mean() + 0.3
  bags = [
    tuple(sorted(r))
    for r in np.split(data.sessions.events, data.sessions.offsets[1:-1])
  ]
  for bag in set(bags):
    mine = targets[[other == bag for other in bags]]
    assert len(set(mine[mine > 0].tolist())) <= 1


def test_known_sessions_are_certain_however_far_out():
  rng = np.random.default_rng(0)
  rows = [rng.integers(1, 5, rng.integers(1, 9)).tolist() for _ in range(150)]
  data = systems.system(3)._replace(sessions=builders.sessions(rows))
  seqs = sequences.sequences(data.sessions, 0, 99)
  certain, half = (
    pseudo_labels.estimate(
      data, seqs, pseudo_labels.Options(share, ica=3, min_cluster=10, min_samples=5), 0
    )
    for share in (1.0, 0.5)
  )
  assert not certain.any() and half.any()


def test_there_are_no_more_components_than_directions():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 20))
  found = pseudo_labels.reduced(x, np.ones(60, int), 50, 0)
  assert found.shape == (60, 3)
  np.testing.assert_allclose(found.std(0), 1, rtol=1e-2)
  assert pseudo_labels.reduced(np.ones((5, 4)), np.ones(5, int), 50, 0).shape == (5, 1)


def test_anomaly_labels_are_not_read():
  data = systems.system(3, 120)
  seqs = sequences.sequences(data.sessions, 0, 99)
  options = pseudo_labels.Options(ica=3, min_cluster=10, min_samples=5)
  hidden = np.where(data.sessions.labels == 1, -1, 0).astype(np.int8)
  other = data._replace(sessions=data.sessions._replace(labels=hidden))
  np.testing.assert_array_equal(
    pseudo_labels.estimate(data, seqs, options, 0),
    pseudo_labels.estimate(other, seqs, options, 0),
  )
