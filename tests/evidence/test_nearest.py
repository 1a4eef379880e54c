"""Nearest bags and forests as arrays, against plain ways to the same."""

import numpy as np
import pytest
from scipy import sparse
from sklearn import ensemble

from metalog_jax.evidence import forest, nearest


@pytest.mark.parametrize('columns', ['dense', 'sparse'])
@pytest.mark.parametrize('filled', [0.1, 0.9])
def test_the_nearest_is_the_first_of_the_equally_near(monkeypatch, columns, filled):
  rng = np.random.default_rng(0)
  draw = lambda n: rng.integers(1, 3, (n, 9)) * (rng.random((n, 9)) < filled)
  bags, rows = draw(200).astype(float), sparse.csr_matrix(draw(60), dtype=float)
  skip = rng.integers(-1, 200, 60)
  monkeypatch.setattr(nearest, 'CELLS', 2_000)  # several blocks, in threads
  monkeypatch.setattr(nearest, 'DENSE', 0 if columns == 'sparse' else 1 << 20)
  monkeypatch.setattr(nearest, 'CANDIDATES', 200)
  index = nearest.index(sparse.csr_matrix(bags))
  far = ((np.log1p(rows.toarray())[:, None] - np.log1p(bags)) ** 2).sum(axis=2)
  far[np.flatnonzero(skip >= 0), skip[skip >= 0]] = np.inf
  expected = (far <= far.min(axis=1, keepdims=True) + 1e-9).argmax(axis=1)
  np.testing.assert_array_equal(nearest.search(index, rows, skip), expected)
  distance = nearest.distances(index, rows, skip)
  np.testing.assert_allclose(distance**2, far.min(axis=1), atol=1e-9)


def test_of_one_bag_left_out_nothing_is_near():
  index = nearest.index(sparse.csr_matrix([[1.0, 2.0]]))
  rows = sparse.csr_matrix([[1.0, 2.0], [0.0, 3.0]])
  skip = np.array([0, -1])
  assert nearest.search(index, rows, skip).tolist() == [-1, 0]
  assert np.isnan(nearest.distances(index, rows, skip)).tolist() == [True, False]
  differences = nearest.differences(index, rows, np.array([-1, 0])).toarray()
  np.testing.assert_allclose(differences, np.log([[2, 3], [1 / 2, 4 / 3]]), atol=1e-12)


def test_a_forest_of_arrays_is_that_of_scikit_learn(monkeypatch):
  rng = np.random.default_rng(0)
  table = rng.normal(size=(80, 5)).astype(np.float32)
  label, weight = (table[:, 0] + rng.normal(size=80) > 0).astype(int), rng.random(80)
  theirs = ensemble.ExtraTreesClassifier(
    forest.TREES, max_features=forest.LOOKED_AT, random_state=0
  )
  theirs.fit(table, label, sample_weight=weight)
  new = rng.normal(size=(200, 5)).astype(np.float32)
  monkeypatch.setattr(forest, 'CELLS', 64 * forest.TREES)
  grown = forest.grow(table, label, weight)
  for rows in (new, table, new[:0]):
    expected = theirs.predict_proba(rows)[:, 1] if len(rows) else []
    np.testing.assert_allclose(
      forest.probabilities(grown, rows), expected, rtol=0, atol=1e-12
    )


def test_trees_see_few_labels_among_many_events():
  """Each of 20 anomalies has one of three alerts, among 300 events that say nothing."""
  rng = np.random.default_rng(0)

  def bags(num, anomalous):
    noise = rng.random((num, 300)) < 0.1
    return np.hstack(
      [noise, np.eye(3, dtype=bool)[rng.integers(3, size=num)] & anomalous]
    )

  table = np.concatenate([bags(30, False), bags(20, True)]).astype(np.float32)
  label = np.repeat([0, 1], [30, 20])
  grown = forest.grow(table, label, np.where(label, 1 / 20, 1 / 30))
  new = np.concatenate([bags(300, False), bags(300, True)]).astype(np.float32)
  flagged = forest.probabilities(grown, new) > 0.5
  assert flagged[300:].mean() - flagged[:300].mean() > 0.8
