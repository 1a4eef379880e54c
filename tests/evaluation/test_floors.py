"""Floors: each by hand, the labels they may see, and slow restatements."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from metalog_jax import types
from metalog_jax.batches import bags
from metalog_jax.detectors import spe
from metalog_jax.evaluation import floors
from tests import builders

VECTORS = np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32)


def dataset(rows, labels=None, vectors=VECTORS, name='system'):
  sessions = builders.sessions(rows, labels)
  for array in sessions:
    array.flags.writeable = False  # floors must not write into what they are given
  return types.Dataset(name, sessions, vectors)


NORMAL = [[1, 2, 3], [1, 2, 2, 3], [3, 2, 1], [1, 3]]
ANOMALOUS = [[1, 2, 4], [5, 3]]
TRAIN = dataset(NORMAL + ANOMALOUS + [[7], [6]], [0, 0, 0, 0, 1, 1, -1, -1])
TEST = dataset([[2, 1, 3], [1, 2, 4, 4], [1, 7], [6, 7], [3, 1, 1], []])
WITHOUT = {'always', 'kth_unlabelled_10', 'kth_unlabelled_5'}  # any label
OF_BOTH = {'known_anomalous_event', 'knn_counts', 'match_or_nearest', 'tree_counts'}
ALL = WITHOUT | set(floors.FLOORS) | OF_BOTH | {'lr_vectors'}


def test_rules_by_hand():
  found = floors.scores(TRAIN, TEST)
  assert set(found) == ALL
  scores = {name: value.tolist() for name, (value, _) in found.items()}
  assert scores['always'] == [1] * 6
  assert scores['new_event'] == [0, 1, 1, 2, 0, 0]
  assert scores['new_counts'] == [0, 1, 1, 1, 1, 1]
  assert scores['known_anomalous_event'] == [0, 1, 0, 0, 0, 0]
  # [1, 2, 4, 4]: to [1, 2, 4] it is log(3 / 2), to [1, 2, 3] log(3) and log(2)
  near, far = np.log(3 / 2), np.hypot(np.log(3), np.log(2))
  assert scores['knn_counts'][1] == pytest.approx(far / (near + far))
  assert scores['one_class_knn_counts'][0] == 0
  assert scores['one_class_knn_counts'][4] == pytest.approx(np.log(3 / 2))
  # each normal from the others: {1,2,3} twice, then log(3/2) and log(2)
  assert found['one_class_knn_counts'][1] == pytest.approx(np.log(2))
  apart = [found[f'one_class_knn_{share}'][1] for share in ('counts', '995', 'max')]
  assert apart == pytest.approx([np.log(2)] * 3)
  assert all(
    value.shape == (6,) and np.isfinite(value).all() for value, _ in found.values()
  )


def test_new_events_are_counted_not_flagged():
  train = dataset([[1]], [0])
  found = floors.scores(train, dataset([[2], [2, 3], [2, 2, 1]]))
  assert found['new_event'][0].tolist() == [1, 2, 1]


def test_normals_judge_each_other_as_often_as_they_occur():
  rows = [[1]] * 199 + [[1, 2]]
  found = floors.scores(dataset(rows, [0] * 200), TEST)
  assert found['one_class_knn_counts'][1] == 0  # one in 200 may be alone
  assert found['one_class_knn_995'][1] == 0
  assert found['one_class_knn_max'][1] == pytest.approx(np.log(2))
  found = floors.scores(dataset(rows[150:], [0] * 50), TEST)
  assert found['one_class_knn_counts'][1] == pytest.approx(np.log(2))
  assert floors.scores(dataset([[1]], [0]), TEST)['one_class_knn_counts'][1] == 0


def test_hidden_and_test_labels_are_not_read():
  found = floors.scores(TRAIN, TEST)
  kept = dataset(NORMAL + ANOMALOUS, [0, 0, 0, 0, 1, 1])
  flipped = TEST._replace(sessions=TEST.sessions._replace(labels=np.ones(6, np.int8)))
  for other in (floors.scores(kept, TEST), floors.scores(TRAIN, flipped)):
    for name, (value, threshold) in found.items():
      np.testing.assert_array_equal(value, other[name][0], err_msg=name)
      assert threshold == other[name][1]


def test_floors_that_lack_labels_are_absent():
  needs_anomalies = OF_BOTH | {'lr_vectors'}
  only_normals = floors.scores(dataset(NORMAL, [0] * 4), TEST)
  assert set(only_normals) == ALL - needs_anomalies
  only_anomalies = floors.scores(dataset(ANOMALOUS, [1, 1]), TEST)
  assert set(only_anomalies) == WITHOUT
  assert set(floors.scores(dataset(NORMAL, [-1] * 4), TEST)) == WITHOUT
  assert set(floors.scores(None, TEST)) == WITHOUT


def test_the_floor_picked_beforehand_is_there():
  picked = lambda *sets: next(n for n in floors.PICKED if n in floors.scores(*sets))
  assert picked(TRAIN, TEST) == 'tree_counts'
  assert picked(dataset(NORMAL, [0] * 4), TEST) == 'new_event_or_length'
  assert picked(None, TEST) == 'kth_unlabelled_10'
  assert picked(None, dataset([[1]])) == 'always'


def test_sources():
  other = np.random.default_rng(1).standard_normal((4, 5)).astype(np.float32)
  source = dataset([[1], [1, 1], [2], [3]], [0, 0, 1, -1], other, 'source')
  zero_shot = floors.scores(None, TEST, [source])
  assert set(zero_shot) == WITHOUT | {'lr_vectors'}
  unlabelled = floors.scores(dataset(NORMAL, [-1] * 4), TEST, [source])
  np.testing.assert_array_equal(unlabelled['lr_vectors'][0], zero_shot['lr_vectors'][0])
  pooled = floors.scores(TRAIN, TEST, [source])
  assert set(pooled) == ALL | {'lr_vectors_pooled'}
  np.testing.assert_array_equal(
    pooled['lr_vectors'][0], floors.scores(TRAIN, TEST)['lr_vectors'][0]
  )
  assert set(floors.scores(TRAIN, TEST, [dataset([[1]], [-1])])) == ALL


def test_event_ids_of_another_system_are_never_compared():
  strange = TEST._replace(vectors=VECTORS[::-1].copy())
  assert set(floors.scores(TRAIN, strange)) == WITHOUT | {'lr_vectors'}


def test_order_and_repeats_of_test_sessions_change_nothing():
  once = floors.scores(TRAIN, TEST)
  rows = [[6, 7], [1, 2, 4, 4], [6, 7], [2, 1, 3]]
  again = floors.scores(TRAIN, dataset(rows))
  for name, (value, _) in again.items():
    if name.startswith('kth_'):  # which is of the test sessions
      continue
    np.testing.assert_allclose(value, once[name][0][[3, 1, 3, 0]], err_msg=name)


@pytest.mark.parametrize('name', ['tree_counts', 'lr_vectors', 'pca_counts'])
def test_repeats_in_training_count(name):
  """Deduplicated and weighted is the same as fitted on every session."""
  random = np.random.default_rng(3)
  rows = [random.integers(1, 5, 4).tolist() for _ in range(300)]
  labels = [int(row.count(4) > 1) for row in rows]
  found, threshold = floors.scores(dataset(rows, labels), TEST)[name]
  expected = {'tree_counts': _tree, 'lr_vectors': _logistic, 'pca_counts': _pca}[name]
  value, expected_threshold = expected(rows, np.array(labels), TEST)
  np.testing.assert_allclose(found, value, rtol=2e-3, atol=1e-3)
  assert threshold == pytest.approx(expected_threshold, rel=1e-6)


def _counts(rows):
  return np.array([np.bincount(np.array(row, int), minlength=8) for row in rows])


def _rows_of(data):
  offsets = data.sessions.offsets
  return [data.sessions.events[a:b] for a, b in zip(offsets, offsets[1:])]


def _tree(rows, labels, test):
  from sklearn import tree

  model = tree.DecisionTreeClassifier(class_weight='balanced', random_state=0)
  model.fit(_counts(rows), labels)
  return model.predict_proba(_counts(_rows_of(test)))[:, 1], 0.5


def _logistic(rows, labels, test):
  from sklearn import linear_model, preprocessing

  def features(rows):
    means = [VECTORS[row].mean(0) if len(row) else np.zeros(5) for row in rows]
    tops = [VECTORS[row].max(0) if len(row) else np.zeros(5) for row in rows]
    return np.hstack([means, tops])

  scaler = preprocessing.StandardScaler().fit(features(rows))
  model = linear_model.LogisticRegression(class_weight='balanced', max_iter=1000)
  model.fit(scaler.transform(features(rows)), labels)
  return model.predict_proba(scaler.transform(features(_rows_of(test))))[:, 1], 0.5


def _pca(rows, labels, test):
  """The textbook way: a dense matrix and a singular value decomposition."""
  normal = _counts([row for row, label in zip(rows, labels) if label == 0]).astype(
    float
  )
  idf = np.log(len(normal) / ((normal > 0).sum(0) + 1e-8))
  centre = (normal * idf).mean(0)
  _, singular, rotation = np.linalg.svd(normal * idf - centre, full_matrices=True)
  spectrum = np.zeros(8)
  spectrum[: len(singular)] = singular**2 / len(normal)
  kept = 1 + np.flatnonzero(np.cumsum(spectrum) >= 0.95 * spectrum.sum())[0]
  outside = np.eye(8) - rotation[:kept].T @ rotation[:kept]
  errors = (_counts(_rows_of(test)) * idf - centre) @ outside
  return (errors**2).sum(1), spe.q_statistic(spectrum[kept:])


def test_q_statistic():
  """An even spectrum makes the SPE chi-squared: 0.05 % lie above the limit."""
  from scipy import stats

  for degrees in (3, 10, 50):
    limit = stats.chi2.ppf(1 - 5e-4, degrees)
    assert spe.q_statistic(np.full(degrees, 2.0)) == pytest.approx(2 * limit, rel=0.03)
  assert 0 < spe.q_statistic(np.zeros(3)) < 1e-6
  uneven = spe.q_statistic(np.array([1.0, *[1e-4] * 200]))
  assert 1 < uneven < 20  # outside the approximation


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(
  st.lists(st.lists(st.integers(0, 7), max_size=5), min_size=2, max_size=12),
  st.lists(st.lists(st.integers(0, 7), max_size=5), min_size=1, max_size=12),
)
def test_distances_agree_with_brute_force(left, right):
  a, b = (bags.bags(builders.sessions(rows), 8) for rows in (left, right))
  x, y = np.log1p(a.counts.toarray()), np.log1p(b.counts.toarray())
  every = np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))
  found = bags.distances(a.counts, b.counts)
  np.testing.assert_allclose(found, every.min(1), atol=1e-9)
  assert ((found == 0) == (every.min(1) == 0)).all()
  own = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1)) + np.diag([np.inf] * len(x))
  expected = own.min(1) if len(x) > 1 else np.zeros(1)
  alone = bags.distances(a.counts, a.counts, leave_out=True)
  np.testing.assert_allclose(alone, expected, atol=1e-9)


def test_distances_between_long_sessions_are_exact():
  rows = [[1] * (30_000 + i) + [2] * 500 for i in range(40)]
  counts = bags.bags(builders.sessions(rows), 8).counts
  assert not bags.distances(counts, counts).any()
  expected = np.log1p(30_001 + np.arange(39)) - np.log1p(30_000 + np.arange(39))
  alone = bags.distances(counts, counts, leave_out=True)
  np.testing.assert_allclose(alone[:-1], expected, rtol=1e-5)


@hypothesis.settings(deadline=None)
@hypothesis.given(st.lists(st.lists(st.integers(0, 7), max_size=6), max_size=12))
def test_bags(rows):
  sessions = builders.sessions(rows)
  found = bags.bags(sessions, 8)
  assert found.counts.shape[0] == len({tuple(sorted(row)) for row in rows})
  if rows:
    np.testing.assert_array_equal(found.counts.toarray()[found.inverse], _counts(rows))
  means = [VECTORS[row].mean(0) if row else np.zeros(5) for row in rows]
  tops = [VECTORS[row].max(0) if row else np.zeros(5) for row in rows]
  features = bags.mean_and_max(found.counts, VECTORS)[found.inverse]
  expected = np.hstack([np.reshape(means, (-1, 5)), np.reshape(tops, (-1, 5))])
  np.testing.assert_allclose(features, expected, atol=1e-6)
  np.testing.assert_array_equal(sessions.events, [e for row in rows for e in row])


@pytest.mark.data
def test_rules_solve_bgl_with_many_normals(data):
  """30 % of BGL's normals and 24 anomalies: unseen events tell nearly all."""
  import gzip
  import json

  from metalog_jax.evaluation import metrics

  with gzip.open(data / 'bgl/sessions.jsonl.gz', 'rt') as lines:
    records = [json.loads(line) for line in lines]
  rows = [[int(event[1:]) + 1 for event in record['events']] for record in records]
  labels = np.array([record['label'] for record in records])
  random = np.random.default_rng(0)
  normals, anomalies = (random.permutation(np.flatnonzero(labels == k)) for k in (0, 1))
  num = round(0.3 * len(normals))
  vectors = random.standard_normal((1 + max(map(max, filter(None, rows))), 8))

  def pick(index):
    return dataset([rows[i] for i in index], labels[index], vectors)

  train = pick(np.concatenate([normals[:num], anomalies[:24]]))
  test = pick(np.concatenate([normals[num:], anomalies[24:]]))
  value, threshold = floors.scores(train, test)['new_event']
  found = metrics.by_kind(test.sessions, value, threshold, train.sessions)
  assert found['all']['f1'] > 0.99 and found['distinct']['f1'] > 0.98
