"""The geometry: cells, links and places say the same as the sessions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalog_jax.nets import grid
from tests import grids

few = settings(deadline=None, max_examples=8)


@st.composite
def batches(draw, share=None):
  lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=8))
  rows = len(lengths) + draw(st.integers(0, 2))
  shared = draw(st.booleans()) if share is None else share
  return grids.batch(draw(st.integers(0, 9)), lengths, 3, rows=rows, share=shared)


def numbers(batch, base=10.0):
  """For every cell the number that its beginning spells, by a plain loop."""
  out = []
  for events in grids.sequences(batch):
    value, row = 0.0, []
    for event in events:
      value = (value + 1 + event) / base
      row.append(value)
    out.append(np.array(row))
  return out


@few
@given(batches(), st.booleans())
def test_a_recurrence_reads_every_session_from_its_start(batch, backward):
  order = 'tree' if batch.parents is not None else 'backward' if backward else 'forward'
  link = grid.link(batch, order)
  x = jnp.asarray(batch.events.ravel()[:, None], jnp.float64)
  body = lambda h, x: ((h + 1 + x) / 10,) * 2
  found = grids.split(grid.places(grid.down(body, x, 1, link, order), batch), batch)
  if order == 'backward':
    events = [e[::-1] for e in grids.sequences(batch)]
    batch = grids.lay(events, batch.vectors, batch.labels, batch.weights)
    found = [f[::-1] for f in found]
  for ours, expected in zip(found, numbers(batch), strict=True):
    np.testing.assert_allclose(ours[:, 0], expected, rtol=1e-14)


@pytest.mark.parametrize('order', ['forward', 'backward', 'tree'])
@few
@given(data=st.data())
def test_up_is_the_transposition_of_down(order, data):
  """Both as matrices: (1 - J P)^-1 and its transpose, P moving along the links."""
  batch = data.draw(batches(share=order == 'tree'))
  link = grid.link(batch, order)
  num = batch.events.size
  factor = np.random.default_rng(0).normal(size=num)

  def go_down(u):
    body = lambda v, xs: (xs[1] * v + xs[0],) * 2
    return grid.down(body, (u[:, None], factor[:, None]), 1, link, order)[:, 0]

  def go_up(c):
    def body(m, xs):
      v = xs[0] + m
      return xs[1] * v, v

    return grid.up(body, (c[:, None], factor[:, None]), 1, link, order)[:, 0]

  eye = np.eye(num)
  if order == 'tree':
    origin = link
  else:
    cells = np.arange(num).reshape(link.shape)
    neighbour = np.roll(cells, 1 if order == 'forward' else -1, axis=0)
    origin = np.where(link, neighbour, num)
  move = np.eye(num + 1)[np.ravel(origin)][:, :num]
  expected = np.linalg.inv(eye - factor[:, None] * move)
  np.testing.assert_allclose(jax.vmap(go_down)(eye).T, expected, atol=1e-10)
  np.testing.assert_allclose(jax.vmap(go_up)(eye).T, expected.T, atol=1e-10)


@few
@given(batches())
def test_sums_and_maxima_are_over_sessions(batch):
  x = np.random.default_rng(0).normal(size=(batch.sessions.size, 2))
  parts = grids.split(x, batch)
  expected = [part.sum(0) for part in parts]
  np.testing.assert_allclose(grid.sums(x, batch), expected, atol=1e-12)
  expected = [part.max(0, initial=-0.5) for part in parts]
  np.testing.assert_array_equal(grid.maxima(x, batch, -0.5), expected)
  assert grid.mask(batch).sum() == sum(map(len, parts))


def test_derivatives_of_maxima_are_those_of_max():
  batch = grids.batch(lengths=(4, 3, 1))
  x = np.random.default_rng(0).integers(-3, 3, (batch.sessions.size, 2)) * 1.0  # ties
  ours = jax.grad(lambda x: jnp.sum(grid.maxima(x, batch, -9) ** 3))(x)
  for part, slopes in zip(grids.split(x, batch), grids.split(ours, batch)):
    expected = jax.grad(lambda x: jnp.sum(x.max(0) ** 3))(part)
    np.testing.assert_allclose(slopes, expected, rtol=1e-12)
