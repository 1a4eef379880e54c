"""Few-shot tasks: disjoint, of one segment of time, a function of seed and step."""

import jax
import numpy as np
import pytest

from metalog_jax import types
from metalog_jax.batches import episodes, sequences
from tests import builders


def make_line(num: int = 200, timed: bool = True, every: int = 4) -> episodes.Timeline:
  """Every session is a sequence of its own; its number is its time."""
  rows = [[1 + i % 3, 1 + i // 3 % 3, *[1 + (i >> k) % 2 for k in range(8)]]
          for i in range(num)]  # fmt: skip
  labels = [1 if i % every == 0 else -1 if i % 7 == 0 else 0 for i in range(num)]
  if not timed:  # a session file: all normals first
    labels = sorted(labels)
  sessions = builders.sessions(rows, labels)
  if not timed:
    sessions = sessions._replace(times=np.full(num, np.nan))
  seqs = sequences.sequences(sessions, 0, 100)._replace(inverse=np.arange(num))
  data = types.Dataset('x', sessions, np.ones((5, 2), np.float32))
  return episodes.timeline(data, seqs)


def sampler(seed: int = 0, **changes) -> episodes.Sampler:
  settings = {'shots': 3, 'queries': 4, 'classes': 'balanced', 'spread': 2, 'tasks': 2}
  return episodes.Sampler(episodes.Tasks(**settings | changes), seed)


@pytest.mark.parametrize('timed', [True, False])
def test_a_task_is_of_one_segment_and_its_parts_share_nothing(timed):
  line = make_line(timed=timed)
  for step in range(20):
    _, support, query = sampler().draw([line], step, 0)
    for draw, each in ((support, 3), (query, 4)):
      assert np.sum(draw.labels == 0) == np.sum(draw.labels == 1) == each
    assert not set(support.rows) & set(query.rows)
    for label in (0, 1):
      rows = np.r_[support.rows[support.labels == label],
                   query.rows[query.labels == label]]  # fmt: skip
      assert np.isin(rows, line.members[label]).all()
      assert np.isin(rows, line.members[label]).sum() == 7
    if timed:  # 14 anomalies, one in four sessions
      rows = np.r_[support.rows, query.rows]
      assert rows.max() - rows.min() <= 4 * 15


def test_natural_queries_come_as_they_are():
  line = make_line(num=2000, every=10)
  shares = [
    sampler(classes='natural', queries=20).draw([line], step, 0)[2].labels.mean()
    for step in range(40)
  ]
  assert 0.03 < np.mean(shares) < 0.2 and np.std(shares) > 0


def test_a_task_is_a_function_of_seed_and_step_and_systems_take_turns():
  lines = [make_line(), make_line(100)._replace(name='y')]
  rooms = sampler().rooms(lines)
  first, again = (sampler().tasks_of(lines, 5, rooms) for _ in range(2))
  assert all(jax.tree.leaves(jax.tree.map(np.array_equal, first, again)))
  assert first.support.labels.shape[:2] == (2, 1)
  other = sampler(seed=1).tasks_of(lines, 5, rooms)
  assert not np.array_equal(first.support.events, other.support.events)
  names = [sampler().draw(lines, step, t)[0].name for step in range(2) for t in (0, 1)]
  assert names == ['x', 'y', 'x', 'y']


def test_shapes_are_few():
  lines = [make_line(), make_line(100)]
  rooms = sampler().rooms(lines)
  shapes = {
    str(jax.tree.map(np.shape, sampler().tasks_of(lines, step, rooms)))
    for step in range(30)
  }
  assert len(shapes) <= 4


def test_too_few_labels_are_an_error():
  with pytest.raises(ValueError, match='system x has'):
    sampler(shots=60).draw([make_line()], 0, 0)
