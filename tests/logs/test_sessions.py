"""Grouping against a few lines of plain Python, whatever the parts and blocks."""

import hypothesis
import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st

from metalog_jax.logs import sessions
from metalog_jax.logs.readers import Lines


def lines(owners, times=None, labels=None, first=1) -> Lines:
  """Lines that belong to the entities named; line numbers have gaps."""
  number = len(owners)
  flat = [(i, name) for i, names in enumerate(owners) for name in names]
  return Lines(
    number=np.arange(number) * 2 + first,
    content=None,
    owner=np.array([i for i, _ in flat], np.int64),
    entity=pl.Series([name for _, name in flat], dtype=pl.String),
    time=np.full(number, np.nan) if times is None else np.array(times, float),
    label=np.full(number, -1, np.int8) if labels is None else np.array(labels, np.int8),
    tally=None,
  )


def run(folder, chunks, cut, whole=False, table=None):
  """Spills, groups and merges; the rows of the sessions."""
  table = np.arange(9999) if table is None else table
  events = sessions.Spill(folder / 'spill', whole)
  code = 0
  for chunk in chunks:
    codes = np.arange(code, code + len(chunk.number), dtype=np.int32)
    code += len(chunk.number)
    events.add(chunk, codes)
  paths = events.close()
  if whole:
    parts = list(sessions.group_whole(paths, table, cut))
  else:
    parts = [sessions.group_part(path, table, cut) for path in paths]
  blocks = list(sessions.merge(parts)) if parts else []
  return [row for block in blocks for row in block.iter_rows(named=True)], events


def expected(chunks, cut, whole=False):
  """Sessions as {id: (codes, numbers)} in order of first appearance."""
  streams, code = {}, 0
  for chunk in chunks:
    for i, number in enumerate(chunk.number.tolist()):
      names = (
        [sessions.WHOLE]
        if whole
        else chunk.entity.filter(pl.Series(chunk.owner == i)).to_list()
      )
      for nth, name in enumerate(names):
        streams.setdefault(name, []).append((number, nth, code))
      code += 1
  found = []
  for name, events in streams.items():
    sides = [[e for e in events if not cut.at_line or e[0] <= cut.at_line]]
    sides.append(events[len(sides[0]) :])
    size = cut.lines or len(events)
    windows = [s[i : i + size] for s in sides for i in range(0, len(s), size)]
    if not cut.windows:
      windows = [events]
    for k, window in enumerate(windows):
      label = f'{name}#{k}' if cut.windows else name
      found.append(
        (window[0][:2], label, [e[2] for e in window], [e[0] for e in window])
      )
  return [row[1:] for row in sorted(found)]


names = st.lists(st.sampled_from('abcde'), max_size=3, unique=True)


@hypothesis.given(
  owners=st.lists(names, min_size=1, max_size=40),
  border=st.integers(0, 40),
  size=st.integers(0, 4),
  at_line=st.integers(0, 90),
  whole=st.booleans(),
  parts=st.integers(1, 4),
  block=st.integers(1, 9),
)
def test_grouping(tmp_path_factory, owners, border, size, at_line, whole, parts, block):
  hypothesis.assume(size or not whole)
  chunks = [lines(owners[:border]), lines(owners[border:], first=2 * border + 1)]
  cut = sessions.Cut(lines=size, at_line=at_line, keep_lines=True)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sessions, 'PARTS', parts)
    patch.setattr(sessions, 'BUFFER', border)
    patch.setattr(sessions, 'RUN', 1)
    patch.setattr(sessions, 'BLOCK', block)
    rows, _ = run(tmp_path_factory.mktemp('s'), chunks, cut, whole)
  want = expected(chunks, cut, whole)
  assert [(r['session_id'], r['events'], r['lines']) for r in rows] == want
  for row in rows:
    assert (row['first_line'], row['last_line']) == (row['lines'][0], row['lines'][-1])
    if size and at_line:  # no window spans the cut
      assert (row['first_line'] > at_line) == (row['last_line'] > at_line)
      assert len(row['events']) <= size


@hypothesis.given(
  gaps=st.lists(st.floats(-5, 20), min_size=1, max_size=30), block=st.integers(1, 9)
)
def test_time_windows_of_the_whole_log(tmp_path_factory, gaps, block):
  """Windows follow each other, cover every line, and run as long as asked."""
  times = np.cumsum(gaps)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sessions, 'BUFFER', 1)
    patch.setattr(sessions, 'RUN', block)
    rows, _ = run(
      tmp_path_factory.mktemp('s'),
      [
        lines([[]] * len(times[i : i + 4]), times[i : i + 4], first=2 * i + 1)
        for i in range(0, len(times), 4)
      ],
      sessions.Cut(seconds=10.0),
      whole=True,
    )
  clock = np.maximum.accumulate(times)
  want = np.floor((clock - times[0]) / 10)
  assert [r['events'] for r in rows] == [
    np.flatnonzero(want == w).tolist() for w in np.unique(want)
  ]
  assert [r['session_id'] for r in rows] == [f'all#{i}' for i in range(len(rows))]


def test_time_windows_of_entities(tmp_path):
  owners = [['a'], ['b'], ['a'], ['a'], ['b'], ['a']]
  rows, _ = run(
    tmp_path, [lines(owners, [0, 8, 9, np.nan, 17, 10])], sessions.Cut(seconds=10)
  )
  assert [(r['session_id'], r['events'], r['time']) for r in rows] == [
    ('a#0', [0, 2, 3], 0), ('b#0', [1, 4], 8), ('a#1', [5], 10)
  ]  # fmt: skip


def test_labels_times_and_table(tmp_path):
  owners = [['a'], ['b'], ['a'], ['c'], ['b']]
  chunk = lines(owners, [np.nan, 2, 3, np.nan, 5], [-1, 0, 1, -1, 0])
  rows, _ = run(
    tmp_path, [chunk], sessions.Cut(max_events=1), table=np.array([7, 7, 8, 9, 9])
  )
  assert [(r['session_id'], r['events'], r['label'], r['time']) for r in rows] == [
    ('a', [7], 1, 3), ('b', [7], 0, 2), ('c', [9], -1, None)
  ]  # fmt: skip
  assert [r['length'] for r in rows] == [2, 2, 1]
  assert [r['last_line'] for r in rows] == [5, 9, 7]


def test_accounts(tmp_path):
  _, events = run(tmp_path, [lines([['a'], [], ['a', 'b']])], sessions.Cut())
  assert events.report() == {'lines_without_session': 1, 'shared_lines': 1}


@pytest.mark.parametrize('text', ['', 'x', '-3', '3x', '1.5', '10 m m'])
def test_no_window(text):
  with pytest.raises(ValueError, match='--window='):
    sessions.Cut.parse(text)


def test_windows_as_written():
  assert sessions.Cut.parse('120').lines == 120
  assert sessions.Cut.parse('1.5m').seconds == 90
  assert not sessions.Cut.parse('0').windows


@hypothesis.given(
  st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=30)
)
def test_hashes_tell_sequences_apart(rows):
  rows += [row[::-1] for row in rows]
  offsets = np.cumsum([0, *map(len, rows)])
  found = sessions.hashes(np.array(sum(rows, []), np.int32), offsets)
  assert len(set(found.tolist())) == len(set(map(tuple, rows)))
  again = sessions.hashes(np.array(rows[-1], np.int32), np.array([0, len(rows[-1])]))
  assert again[0] == found[-1]
