"""Draws are a pure function of (seed, step) and pass over every session."""

import numpy as np
import pytest

from metalog_jax import types
from metalog_jax.batches import drawing, sequences
from tests import builders, grids


@pytest.fixture(name='data')
def fixture_data() -> types.Dataset:
  rows = [[1 + i % 3] * (1 + i % 5) + [1] for i in range(60)]
  labels = [1 if i % 6 == 0 else -1 if i % 7 == 0 else 0 for i in range(60)]
  sessions = builders.sessions(rows, labels)
  return types.Dataset('x', sessions, np.zeros((4, 2), np.float32))


def test_parts_share_out_the_labelled_sessions(data):
  seqs = sequences.sequences(data.sessions, 0, 100)
  parts = drawing.parts(data, seqs, 5, seed=1)
  members = np.concatenate([np.r_[p.normals, p.anomalies] for p in parts])
  assert sorted(members) == np.flatnonzero(data.sessions.labels >= 0).tolist()
  assert max(p.size for p in parts) - min(p.size for p in parts) <= 1


def test_a_pass_draws_every_session_once(data):
  seqs = sequences.sequences(data.sessions, 0, 100)
  pool = drawing.whole(data, seqs)._replace(
    normals=np.arange(20), anomalies=np.arange(0)
  )
  pool = pool._replace(seqs=seqs._replace(inverse=np.arange(60)))
  sampler = drawing.Sampler(batch=4, anomaly_share=0.0, seed=3)
  drawn = np.concatenate([sampler.draw(pool, step).rows for step in range(5)])
  assert sorted(drawn) == list(range(20))
  np.testing.assert_array_equal(sampler.draw(pool, 7).rows, sampler.draw(pool, 7).rows)
  assert not np.array_equal(sampler.draw(pool, 0).rows, sampler.draw(pool, 5).rows)


@pytest.mark.parametrize('share, anomalies', [(0.5, 5), (0.2, 2)])
def test_share_of_anomalies(data, share, anomalies):
  pool = drawing.whole(data, sequences.sequences(data.sessions, 0, 100))
  draw = drawing.Sampler(10, share, 0).draw(pool, 3)
  assert draw.weights @ draw.labels == anomalies and draw.weights.sum() == 10


def test_unlabelled_sessions_are_never_drawn(data):
  seqs = sequences.sequences(data.sessions, 0, 100)._replace(inverse=np.arange(60))
  pool = drawing.whole(data, seqs)
  sampler = drawing.Sampler(16, 0.5, 0)
  drawn = np.unique(np.concatenate([sampler.draw(pool, i).rows for i in range(30)]))
  assert np.all(data.sessions.labels[drawn] >= 0)


@pytest.mark.parametrize('devices', [1, 2])
@pytest.mark.parametrize('share', [False, True])
def test_full_rows_hold_the_same_sessions_on_fewer_cells(data, devices, share):
  pool = drawing.whole(data, sequences.sequences(data.sessions, 0, 100, share))
  laid = {}
  for full in (False, True):
    sampler = drawing.Sampler(40, 0.5, 0, devices=devices, full=full)
    rooms = sampler.rooms([pool])
    batch = sampler.batch_of(pool, 3, rooms)
    if full and not rooms[0].cells:
      draw, dealt = sampler.draw(pool, 3), sampler._deal(pool, 3, rooms[0])
      by_rows = sequences.deal_rows(pool.seqs, draw, devices, rooms[0].steps)
      assert [x.rows.tolist() for x in dealt] == [x.rows.tolist() for x in by_rows]
    real = lambda b: [i for i in zip(grids.sequences(b), b.labels, b.weights) if i[2]]
    each = [drawing.map_arrays(lambda x: x[i], batch) for i in range(devices)]  # noqa: B023
    sessions = [(tuple(e), y, w) for b in each for e, y, w in real(b)]
    laid[full] = sorted(sessions), batch.sessions.size
  assert laid[True][0] == laid[False][0] and laid[True][1] < laid[False][1]
