"""Metrics against scikit-learn, brute force and hand-computed cases."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from metalog_jax.evaluation import metrics
from tests import builders

_rows = st.lists(
  st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=1, max_size=30
)  # label, score (many ties)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(_rows, st.integers(-4, 4))
def test_agrees_with_scikit_learn(rows, threshold):
  labels, scores = (np.array(column, float) for column in zip(*rows))
  found = metrics.measure(labels, scores, threshold)
  verdicts = scores > threshold
  options = {'zero_division': 0}
  anomalous, normal = labels == 1, labels == 0
  assert found['sessions'] == len(rows) and found['anomalies'] == anomalous.sum()
  expected = {
    'precision': sklearn_metrics.precision_score(labels, verdicts, **options),
    'recall': sklearn_metrics.recall_score(labels, verdicts, **options),
    'f1': sklearn_metrics.f1_score(labels, verdicts, **options),
    'auprc': None,
  }
  if anomalous.any():
    expected['auprc'] = sklearn_metrics.average_precision_score(labels, scores)
  else:
    expected.update(recall=None, f1=None)
    expected['precision'] = 0.0 if verdicts.any() else None
  expected['specificity'] = (
    sklearn_metrics.recall_score(normal, ~verdicts, **options) if normal.any() else None
  )
  expected['auroc'] = (
    sklearn_metrics.roc_auc_score(labels, scores)
    if anomalous.any() and normal.any()
    else None
  )
  for name, value in expected.items():
    assert found[name] == (None if value is None else pytest.approx(value, abs=1e-12))


@hypothesis.settings(deadline=None)
@hypothesis.given(_rows)
def test_ranking_is_all_that_counts_for_areas(rows):
  labels, scores = (np.array(column, float) for column in zip(*rows))
  found = metrics.measure(labels, scores, 0)
  moved = metrics.measure(labels, np.exp(scores) * 7 - 2, 0)
  order = np.arange(len(rows))[::-1]
  turned = metrics.measure(labels[order], scores[order], 0)
  for name in ('auroc', 'auprc'):
    expected = None if found[name] is None else pytest.approx(found[name], abs=1e-12)
    assert moved[name] == expected and turned[name] == expected


def test_auroc_is_the_share_of_ordered_pairs():
  random = np.random.default_rng(0)
  labels, scores = random.integers(0, 2, 60), random.integers(0, 9, 60)
  pairs = [
    (a > n) + (a == n) / 2 for a in scores[labels == 1] for n in scores[labels == 0]
  ]
  assert metrics.measure(labels, scores, 0)['auroc'] == pytest.approx(np.mean(pairs))


def test_a_score_at_the_threshold_is_normal_and_unlabelled_are_left_out():
  found = metrics.measure([1, 1, 0, -1], [0.6, 0.5, 0.5, 9.0], 0.5)
  assert (found['sessions'], found['anomalies']) == (3, 2)
  assert (found['precision'], found['recall'], found['specificity']) == (1, 0.5, 1)


def test_undefined_figures_are_none():
  nothing = metrics.measure([], [], 0.5)
  assert nothing['sessions'] == 0
  assert {nothing[k] for k in ('precision', 'recall', 'f1', 'auroc', 'auprc')} == {None}
  no_alert = metrics.measure([1, 0], [0, 0], 0.5)
  assert (no_alert['precision'], no_alert['f1']) == (0, 0)


def test_bad_input():
  with pytest.raises(ValueError, match='1 of 2 scores are not finite'):
    metrics.measure([0, 1], [0.1, np.nan], 0.5)
  with pytest.raises(ValueError, match='differ'):
    metrics.measure([0, 1], [0.1], 0.5)


def test_distinct_takes_the_majority_and_ties_are_anomalous():
  rows = [[1, 2], [2, 1], [1, 2], [1, 2], [2, 1], [], [3], []]
  sessions = builders.sessions(rows, [0, 0, 0, 1, 1, -1, 1, -1])
  found = metrics.distinct(sessions)
  assert found.first.tolist() == [0, 1, 5, 6]
  assert found.labels.tolist() == [0, 1, -1, 1]
  assert found.inverse.tolist() == [0, 1, 0, 0, 1, 2, 3, 2]


_sequences = st.lists(st.lists(st.integers(1, 3), max_size=4), min_size=1, max_size=20)


@hypothesis.settings(deadline=None)
@hypothesis.given(_sequences)
def test_distinct_agrees_with_tuples(rows):
  found = metrics.distinct(builders.sessions(rows))
  assert len(found.first) == len(set(map(tuple, rows)))
  assert all(rows[found.first[u]] == row for u, row in zip(found.inverse, rows))
  assert (np.diff(found.first) > 0).all()


@hypothesis.settings(deadline=None)
@hypothesis.given(_sequences, _sequences)
def test_unseen_are_the_sequences_training_has_not(test_rows, train_rows):
  sessions = builders.sessions(test_rows)
  found = metrics.by_kind(
    sessions, np.zeros(len(test_rows)), 0.5, builders.sessions(train_rows)
  )
  different = set(map(tuple, test_rows))
  assert found['all']['sessions'] == len(test_rows)
  assert found['distinct']['sessions'] == len(different)
  assert found['unseen']['sessions'] == len(different - set(map(tuple, train_rows)))


def test_by_kind_by_hand():
  rows = [[1], [1], [2, 2], [3], [2, 2]]
  sessions = builders.sessions(rows, [0, 0, 1, 1, 1])
  scores = np.array([0.9, 0.9, 0.8, 0.1, 0.8])
  found = metrics.by_kind(sessions, scores, 0.5, builders.sessions([[1], [2]], [0, -1]))
  assert found['all']['precision'] == pytest.approx(2 / 4)
  assert found['distinct']['precision'] == pytest.approx(1 / 2)
  assert found['distinct']['recall'] == pytest.approx(1 / 2)
  assert found['unseen']['sessions'] == 2 and found['unseen']['precision'] == 1
  alone = metrics.by_kind(sessions, scores, 0.5)
  assert alone['unseen'] == alone['distinct']


@pytest.mark.data
def test_distinct_sequences_of_bgl(data):
  import gzip
  import json

  with gzip.open(data / 'bgl/sessions.jsonl.gz', 'rt') as lines:
    rows = [json.loads(line)['events'] for line in lines]
  number = {
    event: i for i, event in enumerate(sorted({e for row in rows for e in row}))
  }
  sessions = builders.sessions([[number[event] for event in row] for row in rows])
  assert len(metrics.distinct(sessions).first) == len(set(map(tuple, rows)))
