"""The geometry: flat arrays, segments and bands say the same."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalog_jax.nets import staircase
from tests import staircases

any_lengths = st.lists(st.integers(1, 12), min_size=1, max_size=8).map(
  lambda x: sorted(x, reverse=True)
)


@st.composite
def batches(draw):
  lengths = draw(any_lengths)
  inner = draw(st.sets(st.integers(1, lengths[0] - 1))) if lengths[0] > 1 else set()
  rows = len(lengths) + draw(st.integers(0, 2))
  return staircases.batch(lengths=lengths, cuts=[*sorted(inner), lengths[0]], rows=rows)


@settings(deadline=None, max_examples=30)
@given(batches())
def test_every_event_is_stored_once(batch):
  layout = staircase.layout(batch)
  mask, events = staircase.mask(batch), staircase.flat(batch.events)
  assert mask.shape == events.shape == (staircase.ends(layout)[-1],)
  found = [
    np.asarray(e)[np.asarray(m)]
    for bands in [zip(staircase.bands(events, layout), staircase.bands(mask, layout))]
    for band_events, band_mask in bands
    for e, m in zip(band_events, band_mask, strict=True)
  ]
  for row, expected in zip(found, staircases.sequences(batch), strict=True):
    np.testing.assert_array_equal(row, expected)


@settings(deadline=None, max_examples=30)
@given(batches())
def test_splits_are_undone(batch):
  layout = staircase.layout(batch)
  events = staircase.flat(batch.events)
  for ours, theirs in (
    (staircase.split(events, layout), batch.events),
    (staircase.segments(staircase.bands(events, layout), layout), batch.events),
  ):
    jax.tree.map(np.testing.assert_array_equal, tuple(ours), theirs)


@pytest.mark.parametrize('reverse', [False, True])
@settings(deadline=None, max_examples=30)
@given(batch=batches())
def test_shift_moves_along_rows(batch, reverse):
  layout = staircase.layout(batch)
  x = 1.0 + np.arange(staircase.ends(layout)[-1])[:, None]
  moved = staircase.shift(x, layout, reverse)
  bands = zip(staircase.bands(x, layout), staircase.bands(moved, layout), strict=True)
  for band, shifted in bands:
    edge = np.zeros_like(band[:, :1])
    parts = (band[:, 1:], edge) if reverse else (edge, band[:, :-1])
    np.testing.assert_array_equal(shifted, np.concatenate(parts, axis=1))
