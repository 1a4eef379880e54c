"""The recurrent units: against a plain scan of their cell, and free of padding."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalog_jax.nets import grid, gru, lstm, recurrent
from tests import grids

FORMS = [(1, False, False), (1, True, False), (2, False, True)]


class Unit(NamedTuple):
  run: Callable  # (params, batch, layers, bidirectional) -> states
  module: type
  gates: int
  carry: int  # its size, in H
  step: Callable  # (carry, x, w, b) -> (carry, h)


def lstm_step(carry, x, w, b):
  carry, *_ = lstm.cell(x + b, carry, w)
  return carry, carry[w.shape[1] :]


def gru_step(h, x, w, b):
  return (gru.cell(x, h, w, b)[0],) * 2


UNITS = {
  'gru': Unit(
    functools.partial(recurrent.run_layers, gru.states), gru.Gru, 3, 1, gru_step
  ),
  'lstm': Unit(
    functools.partial(recurrent.run_layers, lstm.states), lstm.Lstm, 4, 2, lstm_step
  ),
}


@pytest.fixture(name='unit', params=UNITS)
def fixture_unit(request) -> Unit:
  return UNITS[request.param]


def make(unit, batch, layers, bidirectional, hidden=4):
  return grids.params(unit.module(hidden, layers, bidirectional), batch)


def plain(unit, params, batch, layers, bidirectional):
  """The same by a scan of the cell over each session, differentiated by jax."""
  return jnp.concatenate(
    [
      one(unit, params, jnp.asarray(batch.vectors)[events], layers, bidirectional)
      for events in grids.sequences(batch)
      if len(events)
    ]
  )


def one(unit, params, x, layers, bidirectional):
  """One session: [L, D] -> [L, H']."""
  for layer in range(layers):
    sides = []
    for suffix in ('', '_reverse')[: 1 + bidirectional]:
      w_ih, w_hh, b_ih, b_hh = (
        params[f'{n}_l{layer}{suffix}']
        for n in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')
      )
      step = lambda carry, x, w=w_hh, b=b_hh: unit.step(carry, x, w, b)
      start = jnp.zeros(unit.carry * w_hh.shape[1])
      xs = x @ w_ih.T + b_ih
      sides.append(jax.lax.scan(step, start, xs, reverse=bool(suffix))[1])
    x = jnp.concatenate(sides, -1)
  return x


def on_grid(unit, params, batch, layers, bidirectional):
  """Our states, session after session: [sum of L, H']."""
  states = unit.run(params, batch, layers, bidirectional)
  num = np.arange(batch.sessions.size)
  order = np.concatenate(grids.split(num, batch))
  return grid.places(states, batch)[order]


def test_few_cells_are_projected_without_the_table():
  batch = grids.batch(templates=6)
  many = batch._replace(vectors=np.pad(batch.vectors, ((0, 500), (0, 0))))
  rng = np.random.default_rng(1)
  w, b = rng.normal(size=(7, batch.vectors.shape[1])), rng.normal(size=7)
  expected = batch.vectors[batch.events.ravel()] @ w.T + b
  for one in (batch, many):
    np.testing.assert_allclose(recurrent.projected(one, w, b), expected, atol=1e-12)
  assert len(batch.vectors) < batch.events.size < len(many.vectors)
  of_table = lambda x: (
    f'[{len(x.vectors)},7]' in str(jax.make_jaxpr(recurrent.projected)(x, w, b))
  )
  assert of_table(batch) and not of_table(many)


@pytest.mark.parametrize('layers,bidirectional,share', FORMS)
def test_derivatives_equal_those_of_a_plain_scan(unit, layers, bidirectional, share):
  batch = grids.batch(lengths=(6, 5, 3, 3, 1), rows=6, share=share)
  params = make(unit, batch, layers, bidirectional)
  rng = np.random.default_rng(1)
  probe = rng.normal(size=on_grid(unit, params, batch, layers, bidirectional).shape)
  direction = jax.tree.map(lambda x: rng.normal(size=x.shape), params)

  def derivatives(run):
    loss = lambda p: jnp.vdot(probe, run(unit, p, batch, layers, bidirectional) ** 2)
    grad = jax.grad(loss)
    along = lambda p: sum(map(jnp.vdot, *map(jax.tree.leaves, (grad(p), direction))))
    return {
      'value and gradient': jax.value_and_grad(loss)(params),
      'forward over reverse': jax.jvp(grad, (params,), (direction,))[1],
      'reverse over reverse': jax.grad(along)(params),
    }

  ours, theirs = (jax.jit(lambda f=f: derivatives(f))() for f in (on_grid, plain))
  for name, expected in theirs.items():
    assert grids.difference(ours[name], expected) < 1e-12, name


def test_third_derivative(unit):
  batch = grids.batch(lengths=(4, 3))
  params = make(unit, batch, 1, False, hidden=3)
  direction = jax.tree.map(np.ones_like, params)

  def third(run):
    along = lambda t: jax.tree.map(lambda p, d: p + t * d, params, direction)
    f = lambda t: jnp.sum(run(unit, along(t), batch, 1, False))
    return jax.jit(jax.grad(jax.grad(jax.grad(f))))(0.1)

  assert grids.difference(third(on_grid), third(plain)) < 1e-11


def test_vmap_equals_a_loop(unit):
  many = [grids.batch(seed) for seed in range(3)]
  params = make(unit, many[0], 1, True)
  loss = lambda p, batch: jnp.sum(unit.run(p, batch, 1, True) ** 3)
  grad = jax.jit(jax.grad(loss))
  stacked = jax.tree.map(lambda *x: np.stack(x), *many)
  ours = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(params, stacked)
  each = [grad(params, batch) for batch in many]
  expected = jax.tree.map(lambda *x: np.stack(x), *each)
  assert grids.difference(ours, expected) < 1e-12


@pytest.mark.parametrize('bidirectional', [False, True])
def test_rows_of_padding_alone_are_finite(unit, bidirectional):
  batch = grids.lay([[]] * 2, np.ones((3, 5)), *np.ones((2, 2)), more=2)
  params = make(unit, batch, 1, bidirectional)
  run = functools.partial(unit.run, layers=1, bidirectional=bidirectional)
  loss = lambda p: jnp.sum(run(p, batch) ** 2)
  leaves = jax.tree.leaves(jax.jit(jax.value_and_grad(loss))(params))
  assert all(np.isfinite(leaf).all() for leaf in leaves)


def test_names_and_shapes_are_those_of_pytorch(unit):
  params = make(unit, grids.batch(dim=5), 2, True, hidden=4)
  rows = unit.gates * 4
  assert {name: leaf.shape for name, leaf in params.items()} == {
    f'{name}_l{layer}{suffix}': shape
    for layer, inputs in ((0, 5), (1, 8))
    for suffix in ('', '_reverse')
    for name, shape in (
      ('weight_ih', (rows, inputs)),
      ('weight_hh', (rows, 4)),
      ('bias_ih', (rows,)),
      ('bias_hh', (rows,)),
    )
  }


def test_parameters_start_as_in_pytorch(unit):
  module = unit.module(100, 1)
  params = module.init(jax.random.key(0), grids.batch())['params']
  leaves = np.concatenate([np.ravel(x) for x in jax.tree.leaves(params)])
  assert 0.099 < np.abs(leaves).max() <= 0.1
  assert abs(leaves.std() - 0.1 / np.sqrt(3)) < 1e-3


def test_one_row_does_not_turn_the_weights_round_at_every_step():
  """As a CPU's compiler does with `h @ w.T + b` in a loop over one row."""
  x = jax.ShapeDtypeStruct((24, 300), jnp.float32)
  w = jax.ShapeDtypeStruct((300, 100), jnp.float32)
  b = jax.ShapeDtypeStruct((300,), jnp.float32)
  link = jax.ShapeDtypeStruct((24, 1), jnp.float32)

  def compiled(run):
    return jax.jit(run).lower(x, w, b, link).compile().as_text()

  text = compiled(lambda x, w, b, link: gru.states(x, w, b, link, 'forward'))
  assert 'transpose_copy' not in text
