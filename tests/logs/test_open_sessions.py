"""Sessions that end while lines come are those of all lines at once."""

import json
import math

import numpy as np
import polars as pl
import pytest

from metalog_jax import atomic, errors
from metalog_jax.logs import open_sessions, sessions


def make_rows(num=300, seed=0, entities=6):
  """Events whose clocks run back at times, and of which some have no time."""
  draw = np.random.default_rng(seed)
  time = np.cumsum(draw.exponential(3, num)) + draw.normal(0, 2, num)
  time[draw.random(num) < 0.1] = np.nan
  entity = [f'e{i}' for i in draw.integers(0, entities, num)]
  return pl.DataFrame(
    {
      'entity': entity,
      'number': np.arange(1, num + 1),
      'nth': np.zeros(num, np.int32),
      'code': draw.integers(0, 9, num),
      'time': pl.Series(time).fill_nan(None),
      'label': np.full(num, -1, np.int8),
    }
  )


def stream(rows, cut, pieces=7, **options):
  """The sessions, where another process goes on after each piece."""
  ended, size = [], -(-len(rows) // pieces)
  state = open_sessions.OpenSessions(cut, **options)
  for start in range(0, len(rows), size):
    ended += state.add(rows[start : start + size], 'x.log', 0, str)
    saved = json.loads(atomic.to_json(state.to_json()))
    state = open_sessions.OpenSessions(cut, **options)
    state.restore(saved)
  return ended + state.end_all()


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('window, entities', [
  ('0', 6), ('20', 6), ('20', 1), ('60s', 6), ('45s', 1),
])  # fmt: skip
def test_as_all_at_once(window, entities, seed):
  cut = sessions.Cut.parse(window, max_events=25, keep_lines=True)
  rows = make_rows(seed=seed, entities=entities)
  whole = sessions.group(rows, np.arange(9), cut)
  ended = stream(rows, cut, timeout='5m')
  ended.sort(key=lambda session: session.first_line)
  found, lines, ends = open_sessions.as_sessions(ended)
  assert found.ids.tolist() == whole['session_id'].to_list()
  assert found.events.tolist() == whole['events'].explode().to_list()
  assert lines.tolist() == whole['lines'].explode().to_list()
  for name, value in (
    ('first_line', found.first_lines), ('last_line', found.last_lines),
    ('time', found.times), ('last_time', ends),
  ):  # fmt: skip
    np.testing.assert_equal(value, whole[name].fill_null(np.nan).to_numpy())
  for session in ended:
    assert session.text_at(session.lines[0]) == str(session.first_line)


def table(*lines):
  """Events of (entity, time)."""
  columns = {'entity': [x for x, _ in lines], 'number': range(1, len(lines) + 1)}
  columns |= {'code': [1] * len(lines), 'time': [t for _, t in lines]}
  return pl.DataFrame(columns, schema_overrides={'time': pl.Float64})


def names(ended):
  return [(session.name, session.size) for session in ended]


def test_the_logs_clock_ends_sessions():
  state = open_sessions.OpenSessions(sessions.Cut(), '10s')
  take = lambda *lines: names(state.add(table(*lines), '', 0, str))
  assert take(('a', 0.0), ('b', 1.0), ('a', 9.0), ('b', 11.0)) == []
  assert take(('c', 2.0), ('c', 19.5)) == [('a', 2)]  # a clock that runs back is late
  assert take(('a', 21.5)) == [('b', 2)]
  assert take(('c', 60.0)) == [('c', 2), ('a', 1)]
  assert names(state.peek()) == [('c', 1)] and state.patience == 10


def test_without_times_and_beyond_bounds(monkeypatch):
  state = open_sessions.OpenSessions(sessions.Cut(), '3')
  quiet = table(('a', None), *[('b', None)] * 4)
  assert names(state.add(quiet, '', 0, str)) == [('a', 1)]
  assert state.patience == math.inf
  monkeypatch.setattr(open_sessions, 'LONGEST', 3)
  state = open_sessions.OpenSessions(sessions.Cut(), most=2)
  many = table(*((x, 1.0) for x in 'abacd'), *[('d', 1.0)] * 3)
  assert names(state.add(many, '', 0, str)) == [('b', 1), ('a', 2), ('d', 3)]
  with pytest.raises(errors.UserError, match='--timeout=soon'):
    open_sessions.OpenSessions(sessions.Cut(), 'soon')
