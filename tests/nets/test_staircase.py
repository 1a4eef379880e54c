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


@settings(deadline=None, max_examples=8)
@given(batches())
def test_every_event_is_stored_once(batch):
  layout = staircase.layout(batch)

  @jax.jit
  def events_and_masks(batch):
    arrays = staircase.flat(batch.events), staircase.mask(batch)
    assert {x.shape for x in arrays} == {(staircase.ends(layout)[-1],)}
    return list(zip(*(staircase.bands(x, layout) for x in arrays), strict=True))

  found = [
    events[mask]
    for band in jax.tree.map(np.asarray, events_and_masks(batch))
    for events, mask in zip(*band, strict=True)
  ]
  for row, expected in zip(found, staircases.sequences(batch), strict=True):
    np.testing.assert_array_equal(row, expected)


@settings(deadline=None, max_examples=8)
@given(batches())
def test_splits_are_undone(batch):
  layout = staircase.layout(batch)

  @jax.jit
  def there_and_back(segments):
    x = staircase.flat(segments)
    bands = staircase.bands(x, layout)
    return tuple(staircase.split(x, layout)), staircase.segments(bands, layout)

  for back in there_and_back(batch.events):
    jax.tree.map(np.testing.assert_array_equal, back, batch.events)


@pytest.mark.parametrize('reverse', [False, True])
@settings(deadline=None, max_examples=8)
@given(batch=batches())
def test_shift_moves_along_rows(batch, reverse):
  layout = staircase.layout(batch)

  @jax.jit
  def before_and_after(x):
    moved = staircase.shift(x, layout, reverse)
    return [staircase.bands(y, layout) for y in (x, moved)]

  x = 1.0 + np.arange(staircase.ends(layout)[-1])[:, None]
  for band, shifted in zip(*before_and_after(x), strict=True):
    edge = np.zeros_like(band[:, :1])
    parts = (band[:, 1:], edge) if reverse else (edge, band[:, :-1])
    np.testing.assert_array_equal(shifted, np.concatenate(parts, axis=1))
