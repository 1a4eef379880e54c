"""Batches are the sessions they were drawn from: nothing lost, nothing padded in."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from metalog_jax import types
from metalog_jax.detectors import batches
from tests import builders

SESSIONS = st.lists(st.lists(st.integers(1, 3), max_size=12), min_size=1, max_size=30)


def read_rows(batch: types.Batch) -> list[list[int]]:
  """The rows of a staircase, put together again."""
  rows = [[] for _ in batch.lengths]
  for segment in batch.events:
    for i, part in enumerate(segment):
      rows[i].extend(part.tolist())
  return [row[:n] for row, n in zip(rows, batch.lengths, strict=True)]


def test_runs_are_cut_and_positions_kept():
  events = np.array([1, 1, 1, 2, 1, 1, 1, 1])
  np.testing.assert_array_equal(batches.kept(events, 2, 99), [0, 1, 3, 4, 5])
  np.testing.assert_array_equal(batches.kept(events, 0, 3), [0, 1, 2])
  np.testing.assert_array_equal(batches.kept(events, 1, 99), [0, 3, 4])


@hypothesis.given(SESSIONS)
def test_sequences_name_every_session(rows):
  sessions = builders.sessions(rows)
  seqs = batches.sequences(sessions, collapse=0, max_events=100)
  for i, row in enumerate(rows):
    j = seqs.inverse[i]
    assert seqs.events[seqs.offsets[j] : seqs.offsets[j + 1]].tolist() == row
  assert len(seqs.lengths) == len(set(map(tuple, rows)))


@hypothesis.given(SESSIONS, st.data())
def test_a_batch_holds_its_draws_with_their_number(rows, data):
  seqs = batches.sequences(builders.sessions(rows), collapse=0, max_events=100)
  size = st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=40)
  drawn = np.array(data.draw(size))
  labels = drawn % 2
  index = seqs.inverse[drawn]
  lengths = seqs.lengths[np.unique(np.stack([index, labels]), axis=1)[0]]
  longest = max(1, int(seqs.lengths.max()))
  layout = batches.fit_layout([lengths], 40, longest)
  batch = batches.assemble(np.zeros((4, 2)), seqs, index, labels, layout)
  assert batch is not None, 'a layout holds the batch it was fitted to'
  assert tuple(x.shape for x in batch.events) == layout
  assert np.all(np.diff(batch.lengths) <= 0)
  found = {}
  for row, label, weight in zip(
    read_rows(batch), batch.labels, batch.weights, strict=True
  ):
    if weight:
      found[tuple(row), int(label)] = weight
  expected = {}
  for i, label in zip(drawn, labels, strict=True):
    key = tuple(rows[i]), int(label)
    expected[key] = expected.get(key, 0) + 1
  assert found == expected


@hypothesis.given(SESSIONS)
def test_scoring_covers_every_sequence_once(rows):
  seqs = batches.sequences(builders.sessions(rows), collapse=0, max_events=100)
  seen = {}
  for numbers, batch in batches.scoring_batches(np.zeros((4, 2)), seqs):
    assert batch.weights.sum() == len(numbers)
    for number, row in zip(numbers, read_rows(batch)):
      assert number not in seen
      seen[number] = row
  assert sorted(seen) == list(range(len(seqs.lengths)))
  for i, row in enumerate(rows):
    assert seen[seqs.inverse[i]] == row


def test_layout_refuses_what_it_cannot_hold():
  layout = ((4, 8), (2, 8))
  assert batches.fits(np.array([16, 9, 8, 1]), layout)
  assert not batches.fits(np.array([16, 9, 9]), layout)
  assert not batches.fits(np.array([17]), layout)
  assert not batches.fits(np.array([1] * 5), layout)
