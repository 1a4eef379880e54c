"""Cells of windows: what they hold, and that it does not matter how blocks are cut."""

import collections

import hypothesis
import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st

from metalog_jax.scanning import counted, sessions, windows

RECORD = st.tuples(
  st.integers(0, 3),  # template
  st.one_of(st.none(), st.integers(0, 90), st.just(10**11)),  # seconds
  st.integers(0, 2),  # file
  st.sampled_from(['', 'INFO', 'WARN', 'ERROR', 'FATAL']),
  st.integers(-1, 1),  # name of a side
)


def cells_of(records, cuts):
  seen = windows.Windows(windows.Width(10, timed=True))
  rows = list(enumerate(records))
  for part in (rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)])):
    line, columns = np.array([i for i, _ in part]), list(zip(*(r for _, r in part)))
    if not part:
      continue
    template, seconds, file, level, name = columns
    time = np.array(
      ['NaT' if s is None else s * 10**6 for s in seconds], 'datetime64[us]'
    )
    templates = np.array(template)
    whole = np.full(len(part), -1)
    sides = [windows.Beside(whole, np.array(name), ['x', 'y'])]
    text = pl.Series([f'line {i}' for i in line], dtype=pl.String)
    levels = pl.Series(level, dtype=pl.String)
    seen.add(templates, time, np.array(file), line, levels, text, sides)
  return seen.cells, seen.sides


def one_by_one(records):
  """The cells of `cells_of`, each record counted by itself."""
  cells, known = {}, next((r[1] for r in records if r[1] is not None), 0)
  for line, (template, seconds, file, level, _) in enumerate(records):
    known = known if seconds is None else seconds
    micro = None if seconds is None else seconds * 10**6
    place = file, line, micro
    cell = cells.setdefault((known // 10, template), [0, 0, place, place, line])
    cell[0] += 1
    cell[1] = max(cell[1], windows.SEVERITY.get(level, 0))
    cell[3] = place
  return [
    (*key, count, severity, *first, *last, f'line {line}')
    for key, (count, severity, first, last, line) in cells.items()
  ]


@hypothesis.given(st.lists(RECORD, min_size=1, max_size=30), st.data())
def test_cells_are_those_of_records_counted_one_by_one(records, data):
  cells, sides = cells_of(records, [])
  assert cells.rows() == one_by_one(records)
  named = [r for r in records if r[4] >= 0]
  assert sides['count'].sum() == len(named)
  assert set(sides['name']) == {'xy'[r[4]] for r in named}
  cuts = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=3)))
  if records[0][1] is not None:  # else a block takes the first time that it has
    again = cells_of(records, cuts)
    assert again[0].rows() == cells.rows() and again[1].rows() == sides.rows()


def test_sessions_are_counted_after_half_of_them_were_forgotten():
  rows = sessions._Rows(sessions._BAGS, ('session', 'code'))
  for _ in range(2):
    rows.add(pl.DataFrame({'session': [0, 1], 'code': [3, 3], 'count': [1, 1]}))
    rows.renumber('session', np.array([-1, 0]))
  rows.add(pl.DataFrame({'session': [0], 'code': [3], 'count': [1]}))
  assert rows.table.rows() == [(0, 3, 2)]


@hypothesis.given(st.lists(st.tuples(*[st.integers(0, 4)] * 2, st.integers(1, 9))))
def test_bags_are_summed_by_session_and_code(rows):
  bags = sessions._Rows(sessions._BAGS, ('session', 'code'))
  bags.add(pl.DataFrame(schema=sessions._BAGS))
  for row in rows:
    bags.add(pl.DataFrame([row], schema=sessions._BAGS, orient='row'))
  total = collections.Counter()
  for *key, count in rows:
    total[tuple(key)] += count
  assert {(*key, count) for key, count in total.items()} == set(bags.table.rows())
  assert len(bags.table) == len(total)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('is_beside', [False, True])
def test_counts_by_template_and_value_are_those_of_joined_cells(seed, is_beside):
  """Rows of one window come in any order of values; their first and last ones count."""
  rng = np.random.default_rng(seed)
  names = [*windows._SCHEMA][:-1]
  table = {name: rng.integers(0, 4, 80) for name in names}
  table |= {name: rng.integers(1, 999, 80) for name in names[2:]}
  cells = pl.DataFrame({**table, 'text': [f'line {i}' for i in range(80)]})
  value = pl.Series('value', rng.choice(['a', 'b', 'c'], 80))
  values = {(0, 'a'): (10, 'a'), (0, 'b'): (11, 'b'), (2, 'c'): (12, 'c')}
  parts = [cells]
  for (template, text), (number, _) in values.items():
    rows = (cells['template'] == template) & (value == text)
    parts.append(cells.filter(rows).with_columns(template=pl.lit(number, pl.Int64)))
  beside = cells.sample(20, seed=seed).with_columns(pl.col('template') + 20)
  parts += [beside] if is_beside else []
  joined = windows.join(pl.concat(parts)).sort('template', 'window')
  found = counted._joined(
    cells.with_columns(value), values, beside if is_beside else None
  )
  assert found.select(joined.columns).rows() == joined.rows()
