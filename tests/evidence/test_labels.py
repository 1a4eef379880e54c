"""What is learned of labelled anomalies."""

import numpy as np
import pytest
from sklearn import metrics

from metalog_jax import evidence
from metalog_jax.evidence import forest, labels

sample = evidence.Sample.of


def windows(num, alerts, rng):
  """[num, 500] bags of events that tell nothing, but for three alerts."""
  bags = rng.poisson(np.resize([0.9, 0.05, 0.2], 500) * 0.3, (num, 500))
  bags[:, -3:] = 0
  bags[np.arange(num), rng.integers(497, 500, num)] += alerts
  return bags


@pytest.mark.parametrize('seed', range(3))
def test_the_one_telling_event_of_hundreds_is_found(seed):
  rng = np.random.default_rng(seed)
  normals, odd = windows(30, 0, rng), windows(20, rng.integers(1, 5, 20), rng)
  others = sample(windows(400, rng.integers(1, 5, 400) * (rng.random(400) < 0.05), rng))
  fitted = evidence.fit(sample(normals), sample(odd), others)
  alerts = others.counts[:, -3:].toarray().any(axis=1)
  scores = fitted.judge(others.counts).scores
  assert metrics.average_precision_score(alerts, scores) > 0.8


def test_other_trees_must_be_better_for_sure():
  label = np.repeat([0, 1], 20)
  sign = 2.0 * label - 1
  rng = np.random.default_rng(0)
  old = np.column_stack([0.5 * sign] * 2) + rng.normal(0, 0.1, (40, 2))
  new = np.column_stack([0.9 * sign, 0.5 * sign]) + rng.normal(0, 0.1, (40, 2))
  every = np.ones(40, bool)
  better = lambda *x, alone=every: labels._surely_better(*x, label, alone)
  assert better(new, old).tolist() == [True, False]
  assert better(old, new).tolist() == [False, False]
  assert not better(new, old, alone=label == 0).any()
  # What is gained of one class is held against what is lost of the other one.
  lost = np.where(label[:, None] == 1, old - 0.9, new)
  assert not better(lost, old).any()


def test_where_every_input_tells_trees_are_the_usual_ones(monkeypatch):
  grown, grow = [], forest.grow
  given = lambda *x: grown.append((x[3], grow(*x))) or grown[-1][1]
  monkeypatch.setattr(forest, 'grow', given)
  bags = np.random.default_rng(0).poisson(2.0, (60, 20))
  bags[40:] += 2
  fitted = evidence.fit(*(sample(x) for x in (bags[:40], bags[40:], bags)))
  usual = [tree for share, tree in grown if share == forest.LOOKED_AT]
  assert all(any(x is y for y in usual) for x in fitted.anomalies.models)
  assert {share for share, _ in grown} == {forest.LOOKED_AT, 1.0}
