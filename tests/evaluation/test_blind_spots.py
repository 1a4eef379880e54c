"""A detector that cannot see says so, and one that sees says nothing."""

import numpy as np
import pytest

from metalog_jax import types
from metalog_jax.evaluation import blind_spots
from tests import builders

VECTORS = np.eye(4, dtype=np.float32)


def warnings(
  scores, threshold=0.5, labels=None, vectors=VECTORS, bound=None, new=False
):
  rows = [[1 + i % 3] for i in range(len(scores))]
  labels = [-1] * len(scores) if labels is None else labels
  data = types.Dataset('a', builders.sessions(rows, labels), vectors)
  distinct = min(3, len(scores))
  scores = np.array(scores, float)
  seen = blind_spots.Seen.of(data, scores, threshold, distinct, new=new)
  return blind_spots.warnings(seen, bound)


@pytest.mark.parametrize(
  ('says', 'given'),
  [
    ('every event vector is zero', {'vectors': 0 * VECTORS}),
    ('have the same score, 0.2', {'scores': [0.2] * 4}),
    ('can never be exceeded', {'bound': 0.5}),
    ('all 4 sessions are called anomalous', {'threshold': 0.05}),
    ('none of 4 sessions is called', {'threshold': 0.95, 'labels': [0, 0, 0, 1]}),
    ('never saw are in 2 of 4 sessions', {'new': np.array([1, 1, 0, 0], bool)}),
  ],
)
def test_each_sign(says, given):
  (found,) = warnings(**{'scores': [0.1, 0.2, 0.6, 0.7]} | given)
  assert says in found


def test_silence():
  assert not warnings([0.1, 0.2, 0.6, 0.7], labels=[0, 0, 1, 1], bound=1.0)
  assert not warnings([0.1, 0.2])  # new logs may well be normal
  assert not warnings([0.2]) and not warnings([])
  assert not warnings([0.1, 0.2], labels=[0, 0])
  assert not warnings([0.1, 0.2, 0.6], new=np.array([1, 0, 1], bool))


@pytest.mark.parametrize(
  ('sessions', 'anomalies', 'hits', 'false', 'says'),
  [
    (100, 10, 10, 46, '46 of 90 normal sessions are called anomalous'),
    (100, 10, 10, 45, ''),
    (100, 95, 95, 5, 'all 100 sessions are called anomalous'),
    (100, 100, 100, 0, ''),  # and so they are
    (100, 50, 50, 10, ''),
    (100, 95, 95, 3, ''),  # of five normals shares say little
    (100, None, 91, 0, '91 of 100 sessions are called anomalous'),
    (100, None, 90, 0, ''),
    (20, 0, 0, 11, '11 of 20 normal sessions are called anomalous'),
    (20, None, 19, 0, '19 of 20 sessions are called anomalous'),
    (19, None, 18, 0, ''),
    (1, None, 1, 0, ''),
  ],
)
def test_more_alerts_than_can_be(sessions, anomalies, hits, false, says):
  rest = sessions - (anomalies or 0)
  normal = -1 if anomalies is None else 0
  labels = np.repeat([1, normal], [anomalies or 0, rest])
  scores = np.linspace(0.1, 0.2, sessions)
  scores[:hits] += 0.5
  scores[sessions - false :] += 0.5
  found = warnings(scores, labels=labels)
  assert says in found[0] if says else not found, found


def test_parts_add_up():
  data = types.Dataset('a', builders.sessions([[1], [2]], [0, 1]), VECTORS)
  one = blind_spots.Seen.of(data, [0.8, 0.9], 0.5, 2, new=np.array([True, False]))
  both = blind_spots.NOTHING.joined(one).joined(one)
  counts = {'sessions': 4, 'anomalies': 2, 'normals': 2, 'alerts': 4, 'false': 2}
  assert both == one._replace(**counts, new=2, new_alerts=2)
