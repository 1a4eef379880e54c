"""Splits: disjoint, within budget, in order of time, and honest in their audit."""

import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from metalog_jax import types
from metalog_jax.logs import budgets, splits


def system(labels, times=None, events=None, **manifest) -> types.System:
  num = len(labels)
  events = [[i % 3] for i in range(num)] if events is None else events
  sessions = types.Sessions(
    ids=np.array([f's{i}' for i in range(num)], object),
    times=np.arange(num, dtype=float) if times is None else np.array(times, float),
    events=np.array(sum(events, []), np.int32),
    offsets=np.cumsum([0, *map(len, events)]).astype(np.int64),
    labels=np.array(labels, np.int8),
    first_lines=np.arange(num) * 10 + 1,
    last_lines=np.arange(num) * 10 + 15,
  )
  return types.System('toy', ('<unknown>', 'a', 'b'), np.zeros(3), sessions, manifest)


labels = st.lists(st.sampled_from([0, 0, 0, 1, -1]), min_size=1, max_size=60)


@hypothesis.given(
  labels=labels,
  kind=st.sampled_from(splits.KINDS),
  data=st.data(),
  seed=st.integers(0, 9),
)
def test_parts(labels, kind, data, seed):
  normals = data.draw(st.integers(0, labels.count(0)))
  anomalies = data.draw(st.integers(0, labels.count(1)))
  times = data.draw(
    st.lists(st.sampled_from([1.0, 2.0, 3.0, np.nan]), min_size=len(labels),
             max_size=len(labels)))  # fmt: skip
  toy = system(labels, times)
  try:
    got = splits.split(toy, kind, normals, anomalies, seed, tail='40%')
  except ValueError as error:
    assert kind != 'random' and 'fewer than the' in str(error)
    return
  index = np.concatenate(got[:4])
  assert sorted(index) == list(range(len(labels)))  # every session once
  assert all(np.array_equal(part, np.sort(part)) for part in got[:4])
  of = np.array(labels)
  assert len(got.train_normals) == normals and (of[got.train_normals] == 0).all()
  assert len(got.train_anomalies) == anomalies and (of[got.train_anomalies] == 1).all()
  assert (of[got.test] >= 0).all()
  if kind == 'random':
    assert (of[got.dropped] == -1).all()
  if kind == 'tail':
    assert (got.test >= len(labels) - budgets.resolve('40%', len(labels))).all()
  train = np.concatenate([got.train_normals, got.train_anomalies])
  if kind == 'chronological' and train.size and got.test.size:
    order = {s: i for i, s in enumerate(splits.time_order(toy.sessions))}
    assert max(order[s] for s in train) < min(order[s] for s in got.test)
    if normals:  # the pool is the shortest prefix
      pool_end = max(order[s] for s in got.train_normals)
      assert all(order[s] > pool_end or s in got.dropped or s in train
                 for s in range(len(labels)))  # fmt: skip
  json.dumps(got.audit)
  again = splits.split(toy, kind, normals, anomalies, seed, tail='40%')
  assert all(np.array_equal(a, b) for a, b in zip(got[:4], again[:4]))


def test_time_decides_and_file_order_where_unknown():
  got = splits.split(system([0] * 6, [5, 4, np.nan, 1, 1, 9]), 'chronological', 4, 0, 0)
  assert got.train_normals.tolist() == [1, 2, 3, 4]
  assert got.test.tolist() == [0, 5]
  unknown = system([0] * 4, [np.nan] * 4)
  got = splits.split(unknown, 'chronological', '50%', 0, 0)
  assert got.train_normals.tolist() == [0, 1]


@pytest.mark.parametrize(
  'kind, normals, anomalies, message',
  [
    ('chronological', 9, 0, 'has 6 normal sessions, fewer than the 9'),
    ('chronological', 3, 2, 'pool of system toy has 1 anomalous sessions, fewer than '
     'the 2 asked for: lower --target_anomalies, raise --target_normals, or '),
    ('chronological', 3, 3, 'fewer than the 3 asked for: lower --target_anomalies$'),
    ('random', 1, 3, 'system toy has 2 anomalous sessions, fewer than the 3'),
    ('tail', 5, 0, 'pool of system toy has 3 normal'),
    ('sideways', 1, 0, "--split='sideways' is not one of chronological, tail, random"),
    ('random', 'fit', 0, "'fit' is neither a count"),
  ],
)  # fmt: skip
def test_asking_for_too_much(kind, normals, anomalies, message):
  with pytest.raises(ValueError, match=message):
    splits.split(system([0, 1, 0, 0, 0, 0, 0, 1]), kind, normals, anomalies, 0, '50%')


def test_audit():
  rows = [[1, 2], [1, 2], [1], [1], [2], [1, 2]]
  toy = system([0, 1, 0, 1, 0, -1], events=rows, shared_lines=3)
  audit = splits.split(toy, 'chronological', 2, 1, 0).audit
  assert audit['train'] == {
    'sessions': 3, 'normal': 2, 'anomalous': 1, 'unlabelled': 0,
    'distinct_sequences': 2, 'first_time': 0.0, 'last_time': 2.0,
  }  # fmt: skip
  assert audit['test']['sessions'] == 2
  assert audit['dropped']['unlabelled'] == 1
  assert audit['test_sessions_seen_in_training'] == 1
  assert audit['distinct_test_sequences_unseen'] == 1
  assert audit['straddling_train_sessions'] == 0 + 1  # session 2: lines 21 to 35
  assert audit['lines_in_several_sessions'] == 3


def test_seeds_draw_differently():
  toy = system([0] * 50 + [1] * 50)
  picks = {
    splits.split(toy, 'random', 5, 5, s).train_normals.tobytes() for s in range(9)
  }
  assert len(picks) == 9
