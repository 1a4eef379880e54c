"""What an exported model computes is what the library does, bit for bit nearly."""

import io

import numpy as np
import pytest
from scipy import sparse

from metalog_jax import evidence
from metalog_jax.evidence import arrays, kinds
from metalog_jax.runs import export_evidence
from tests import builders


@pytest.mark.parametrize('later', [False, True])
@pytest.mark.parametrize('num_anomalies', [0, 6])
@pytest.mark.parametrize('without', [(), ('distance', 'order'), ('trees', 'range')])
def test_scores_of_arrays_are_the_librarys(later, num_anomalies, without):
  rng, width = np.random.default_rng(0), 12
  draw = lambda low: rng.integers(low, 9, rng.integers(1, 12)).tolist()
  rows = [[1, 2, 3, 4]] * 900 + [draw(0) for _ in range(60)]
  rows += [draw(3) for _ in range(num_anomalies // 2)] + [[5, 6]] * (num_anomalies // 2)
  rows += [draw(2) for _ in range(45)] + [[7, 8]] * 5
  rows += [[1, 3, 2, 4], [4, 3, 2, 1]] * 20
  labels = np.repeat([0, 1, -1], [960, num_anomalies, 90])
  sessions = builders.sessions(rows, labels)
  transitions, different = kinds.fit(sessions, width)
  samples = [
    evidence.Sample.of(
      different.counts, different.times(labels == label), different.beside
    )
    for label in (0, 1, -1)
  ]
  fitted = evidence.fit(*samples, later, without=without)
  assert (fitted.forgiving is not None) == later
  assert (fitted.missed is not None) == (num_anomalies > 0 and not later)
  file = io.BytesIO()
  place = rng.permutation(width)  # of the templates' events among those of the fit
  np.savez(file, **arrays.arrays(fitted, transitions, place))
  exported = export_evidence.Scores({'weights.npz': file.getvalue()}, {})
  tests = [[1, 3, 2, 4], [9, 10], [1], [7, 8], *rows[900:]]
  tests += [draw(0) for _ in range(300)]
  known = kinds.against(transitions, builders.sessions(tests))
  expected = fitted.judge(known.counts, known.beside).scores[known.inverse]
  scores = exported.scores([tuple(np.argsort(place)[row]) for row in tests])
  np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-9)
  assert scores.std() > 0.1 and sparse.issparse(known.counts)
