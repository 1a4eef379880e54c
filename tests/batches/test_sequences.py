"""Batches are the sessions they were drawn from: nothing lost, nothing padded in."""

import collections

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from metalog_jax.batches import packing, scoring_batches, sequences
from tests import builders, grids

SESSIONS = st.lists(st.lists(st.integers(1, 3), max_size=12), min_size=1, max_size=30)


def test_runs_are_cut_and_positions_kept():
  events = np.array([1, 1, 1, 2, 1, 1, 1, 1])
  np.testing.assert_array_equal(
    sequences.positions_read(events, 2, 99), [0, 1, 3, 4, 5]
  )
  np.testing.assert_array_equal(sequences.positions_read(events, 0, 3), [0, 1, 2])
  np.testing.assert_array_equal(sequences.positions_read(events, 1, 99), [0, 3, 4])


@hypothesis.given(SESSIONS)
def test_sequences_name_every_session(rows):
  sessions = builders.sessions(rows)
  seqs = sequences.sequences(sessions, collapse=0, max_events=100)
  for i, row in enumerate(rows):
    j = seqs.inverse[i]
    assert seqs.events[seqs.offsets[j] : seqs.offsets[j + 1]].tolist() == row
  assert len(seqs.lengths) == len(set(map(tuple, rows)))


@hypothesis.given(SESSIONS, st.booleans(), st.booleans(), st.data())
def test_a_batch_holds_its_draws_with_their_number(rows, merge, share, data):
  seqs = sequences.sequences(builders.sessions(rows), 0, 100, share)
  size = st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=40)
  chosen = np.array(data.draw(size))
  draw = sequences.drawn(seqs.inverse[chosen], chosen % 2, merge)
  room = sequences.fit_room([(seqs, draw)], 40, max(1, int(seqs.lengths.max())))
  batch = sequences.assemble(np.zeros((4, 2)), seqs, draw, room)
  assert batch is not None, 'a room holds the batch it was fitted to'
  assert batch.sessions.shape == (room.steps, room.rows)
  shared = room.cells or room.rows
  assert batch.events.shape == (room.steps, shared) and shared <= room.rows
  assert share or not room.cells
  found = collections.Counter()
  for row, label, weight in zip(
    grids.sequences(batch), batch.labels, batch.weights, strict=True
  ):
    found[tuple(row.tolist()), int(label)] += weight
  expected = collections.Counter((tuple(rows[i]), i % 2) for i in chosen.tolist())
  assert +found == expected


@hypothesis.given(SESSIONS, st.integers(1, 5))
def test_every_session_is_dealt_to_one_device(rows, num):
  seqs = sequences.sequences(builders.sessions(rows), 0, 100, True)
  draw = sequences.drawn(seqs.inverse, np.arange(len(rows)) % 2)
  parts = sequences.deal(seqs, draw, num)
  assert len(parts) == num
  room = sequences.fit_room([(seqs, part) for part in parts], 40, 12)
  if len(set(seqs.lengths)) == 1:  # shared even where it pays nothing
    room = room._replace(cells=40)
  laid = [sequences.assemble(np.zeros((4, 2)), seqs, part, room) for part in parts]
  found = sum((b.weights @ (10 + b.labels) for b in laid), 0.0)
  assert found == np.sum(10 + np.arange(len(rows)) % 2)
  in_parts = np.concatenate([part.rows for part in parts])
  assert sorted(in_parts.tolist()) == sorted(draw.rows.tolist())


@hypothesis.given(SESSIONS, st.integers(1, 5), st.booleans())
def test_a_full_room_holds_what_it_was_fitted_to(rows, num, share):
  seqs = sequences.sequences(builders.sessions(rows), 0, 100, share)
  draw = sequences.drawn(seqs.inverse, np.arange(len(rows)) % 2)
  room = sequences.fit_full_room([(seqs, draw)], 40, 12, num)
  used, _ = packing.first_fit(seqs.lengths[draw.rows], room.steps)
  if room.cells:
    parts = sequences.deal(seqs, draw, num)
  else:
    parts = sequences.deal_rows(seqs, draw, num, room.steps)
    assert room.rows == -(-(used.max() + 2) // num)  # whole rows, one to spare
  in_parts = np.concatenate([part.rows for part in parts])
  assert sorted(in_parts.tolist()) == sorted(draw.rows.tolist())
  for part in parts:
    assert sequences.assemble(np.zeros((4, 2)), seqs, part, room) is not None
    wider = sequences.wider(room, 40)
    assert wider.rows > room.rows and bool(wider.cells) == bool(room.cells)


@hypothesis.given(SESSIONS)
def test_shared_cells_are_the_different_beginnings(rows):
  seqs = sequences.sequences(builders.sessions(rows), 0, 100, True)
  prefixes = {tuple(row[: n + 1]) for row in rows for n in range(len(row))}
  assert len(seqs.trie.parents) == len(prefixes)
  for i, row in enumerate(rows):
    nodes = seqs.trie.nodes[slice(*seqs.offsets[seqs.inverse[i] :][:2])]
    assert seqs.trie.events[nodes].tolist() == row
    assert seqs.trie.parents[nodes].tolist() == [-1, *nodes[:-1]][: len(row)]


@hypothesis.given(SESSIONS, st.integers(12, 20))
def test_a_schedule_keeps_the_order_and_wastes_no_step(rows, steps):
  seqs = sequences.sequences(builders.sessions(rows), 0, 100, True)
  parents = seqs.trie.parents
  paths = np.split(seqs.trie.nodes, seqs.offsets[1:-1])
  fewest = packing.fewest_rows(paths, parents, steps)
  nodes, cells = packing.schedule(paths, parents, steps, fewest)
  assert len(set(cells.tolist())) == len(nodes) == len(parents)
  step = dict(zip(nodes.tolist(), (cells // fewest).tolist()))
  assert all(step[p] < step[n] for n, p in enumerate(parents.tolist()) if p >= 0)
  assert fewest == 1 or packing.schedule(paths, parents, steps, fewest - 1) is None


@hypothesis.given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_first_fit_overlaps_nothing(lengths):
  rows, starts = packing.first_fit(np.array(lengths), 10)
  cells = [(r, s + i) for r, s, n in zip(rows, starts, lengths) for i in range(n)]
  assert len(set(cells)) == sum(lengths)
  assert all(0 <= step < 10 for _, step in cells)
  assert (rows.max() + 1 - 1) * 5 <= sum(lengths)  # no two rows at most half full


@hypothesis.given(SESSIONS, st.integers(1, 3))
def test_scoring_covers_every_sequence_once(rows, devices):
  seqs = sequences.sequences(builders.sessions(rows), collapse=0, max_events=100)
  seen = {}
  for numbers, batch in scoring_batches.every(np.zeros((4, 2)), seqs, devices):
    assert batch.weights.sum() == len(numbers)
    for number, row in zip(numbers, grids.sequences(batch)):
      assert number not in seen
      seen[number] = row.tolist()
  assert sorted(seen) == list(range(len(seqs.lengths)))
  for i, row in enumerate(rows):
    assert seen[seqs.inverse[i]] == row


def test_scoring_batches_fill_the_devices_alike_with_few_shapes():
  rng = np.random.default_rng(0)
  rows = [rng.integers(0, 4, n).tolist() for n in rng.integers(5, 40, 2000)]
  seqs = sequences.sequences(builders.sessions(rows), collapse=0, max_events=100)
  made = list(scoring_batches.every(np.zeros((4, 2)), seqs, devices=4))
  assert len({batch.events.shape for _, batch in made}) == 1
  assert len(made) % 4 == 0
  assert made[0][1].events.size <= scoring_batches.CELLS
  filled = sum(seqs.lengths) / sum(batch.events.size for _, batch in made)
  assert filled > 0.75


def test_a_room_refuses_what_it_cannot_hold():
  seqs = sequences.sequences(
    builders.sessions([[1] * 8, [2] * 9, [3] * 4]), 0, 100, True
  )
  for rows, room in [
    ([1], packing.Room(8, 4, 4, 4)),  # longer than the steps
    ([0, 2], packing.Room(8, 1, 4, 4)),  # more than a row
    ([0, 2], packing.Room(8, 4, 1, 4)),  # more than a session
    ([0, 2], packing.Room(8, 4, 4, 1)),  # more than a row of shared cells
  ]:
    draw = sequences.drawn(np.array(rows), np.zeros(len(rows)))
    assert sequences.assemble(np.zeros((4, 2)), seqs, draw, room) is None


def test_round_numbers():
  of = lambda values: sorted({packing.rounded(n, values) for n in range(1, 65)})
  assert of(2) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
  assert of(4)[6:16] == [7, 8, 10, 12, 14, 16, 20, 24, 28, 32]
  assert all(n <= packing.rounded(n, 2) < 1.5 * n + 1 for n in range(1, 999))


@pytest.mark.parametrize('collapse', [0, 1, 2])
@pytest.mark.parametrize('num', [0, 1, 200])
def test_what_is_read_of_many_sessions_is_what_is_read_of_each(collapse, num):
  """Runs of events do not go on from one session to the next, nor does a limit."""
  rng = np.random.default_rng(0)
  rows = [rng.integers(0, 2, n).tolist() for n in rng.integers(0, 12, num)]
  seqs = sequences.sequences(builders.sessions(rows), collapse, 5)
  for row, which in zip(rows, seqs.inverse, strict=True):
    read = np.array(row, int)[sequences.positions_read(np.array(row), collapse, 5)]
    start, end = seqs.offsets[which : which + 2]
    np.testing.assert_array_equal(seqs.events[start:end], read)


@pytest.mark.parametrize('length', [0, 1, 8, 9, 64, 65, 513, 9000])
def test_a_session_alone_is_laid_out_as_by_the_general_code(length):
  seqs = sequences.sequences(builders.sessions([[3] * length]), 0, 9999)
  vectors = np.zeros((4, 2))
  [(numbers, batch)] = scoring_batches.every(vectors, seqs)
  [(expected_numbers, expected)] = scoring_batches._several(vectors, seqs, 1)
  for x, y in zip((numbers, *batch), (expected_numbers, *expected), strict=True):
    np.testing.assert_equal(x, y)
    assert getattr(x, 'dtype', None) == getattr(y, 'dtype', None)


def test_a_session_alone_has_hardly_more_steps_than_events():
  def shape(lengths):
    seqs = sequences.sequences(builders.sessions([[1] * n for n in lengths]), 0, 999)
    made = scoring_batches.every(np.zeros((4, 2)), seqs)
    return [batch.events.shape for _, batch in made]

  assert shape([17]) == [(24, 1)] and shape([3]) == [(8, 1)]
  assert shape([70]) == [(96, 1)] and shape([200]) == [(256, 1)]
  assert shape([17, 30]) == [(32, 2)]
  assert shape(range(1, 40)) == [(64, 14)]  # many: as few programs as can be
