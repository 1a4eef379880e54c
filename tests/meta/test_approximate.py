"""Modes that are not exact, against what they say they are, written out by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalog_jax import meta, types
from tests import grids
from tests.meta import test_modes


def written_out(problem, config, exact_from, params):
  """The meta-objective step by step, exact from step `exact_from` on.

  Returns θ_K as well.
  """
  adapted, total = params, 0.0
  for i in range(test_modes.STEPS):
    hold = jax.lax.stop_gradient if i < exact_from else lambda x: x
    batch = jax.tree.map(lambda x: x[i], problem.task.support)  # noqa: B023
    total += problem.loss_fn(params, batch) / test_modes.STEPS
    inner = lambda p, batch=batch: (
      problem.loss_fn(p, batch)
      + config.proximal
      / 2
      * sum(
        jnp.sum((a - b) ** 2)
        for a, b in zip(jax.tree.leaves(p), jax.tree.leaves(params), strict=True)
      )
    )
    grads = hold(jax.grad(inner)(adapted))
    adapted = jax.tree.map(lambda p, g: p - config.inner_lr * g, adapted, grads)
  query = problem.loss_fn(adapted, problem.task.query)
  return total + config.query_weight * query, adapted


@pytest.mark.parametrize('steps', [0, 1, 2, test_modes.STEPS, test_modes.STEPS + 1])
def test_truncated_is_first_order_before_the_last_steps(steps):
  problem = test_modes.PROBLEMS['tanh']()
  config = test_modes.with_mode('truncated', truncate=steps)
  # The proximal term is anchored at the start: held constant with the early steps.
  f = lambda p: written_out(problem, config, test_modes.STEPS - steps, p)[0]
  expected = jax.value_and_grad(f)(problem.params)
  ours = test_modes.meta_grad(problem, config)
  assert grids.difference(ours, expected) < 1e-13
  same = {0: 'first', test_modes.STEPS: 'reverse', test_modes.STEPS + 1: 'reverse'}.get(
    steps
  )
  apart = test_modes.error_by_leaf(ours[1], test_modes.taken('tanh', 'reverse'))
  assert (apart < 1e-12) == (same == 'reverse')
  if same:
    assert test_modes.error_by_leaf(ours[1], test_modes.taken('tanh', same)) < 1e-12


def by_hand(problem, config):
  """(θ_K, ∇ of the support's mean at θ, ∇ of the query's at θ_K)."""
  adapted = written_out(problem, config, 0, problem.params)[1]
  mean = lambda p: jax.vmap(problem.loss_fn, (None, 0))(p, problem.task.support).mean()
  support = jax.grad(mean)(problem.params)
  return adapted, support, jax.grad(problem.loss_fn)(adapted, problem.task.query)


def test_first_order_is_the_gradients_where_they_are_taken():
  problem = test_modes.PROBLEMS['tanh']()
  _, support, query = by_hand(problem, test_modes.CONFIG)
  expected = jax.tree.map(lambda s, q: s + 2 * q, support, query)
  assert test_modes.error_by_leaf(test_modes.taken('tanh', 'first'), expected) < 1e-13


def test_reptile_is_the_descent_with_the_last_step_on_the_query():
  problem = test_modes.PROBLEMS['tanh']()
  adapted, support, query = by_hand(problem, test_modes.CONFIG)
  last = jax.tree.map(lambda p, g: p - 0.2 * g, adapted, query)
  expected = jax.tree.map(
    lambda s, start, end: s + 2 * (start - end) / 0.2, support, problem.params, last
  )
  assert test_modes.error_by_leaf(test_modes.taken('tanh', 'reptile'), expected) < 1e-13
  value = test_modes.meta_grad(problem, test_modes.with_mode('reptile'))[0]
  assert value == pytest.approx(
    float(test_modes.meta_grad(problem, test_modes.CONFIG)[0]), rel=1e-14
  )


def quadratic(rng):
  a = rng.normal(size=(4, 4))
  return a @ a.T / 4 + np.eye(4)


def test_implicit_on_a_quadratic_in_closed_form():
  """Whatever the inner steps reach: (I + A/λ)⁻¹ A (θ_K - d)."""
  rng = np.random.default_rng(0)
  a, (c, d, params) = quadratic(rng), rng.normal(size=(3, 4))
  loss_fn = lambda p, center: 0.5 * (p - center) @ a @ (p - center)
  config = test_modes.with_mode(
    'implicit', support_per_step=False, support_weight=0.0, cg_tol=1e-12
  )
  adapted = meta.adapt(loss_fn, params, c, config)
  grads = meta.meta_grad(loss_fn, params, types.Task(c, d), config)
  expected = 2 * np.linalg.solve(np.eye(4) + a / 0.3, a @ (adapted - d))
  np.testing.assert_allclose(grads, expected, rtol=1e-10)
  loose = dataclasses.replace(config, cg_tol=1e-2)
  grads = meta.meta_grad(loss_fn, params, types.Task(c, d), loose)
  residual = (np.eye(4) + a / 0.3) @ grads - 2 * a @ (adapted - d)
  right = np.linalg.norm(2 * a @ (adapted - d))
  assert 1e-6 * right < np.linalg.norm(residual) <= 1e-2 * right
  once = dataclasses.replace(config, cg_steps=1)
  grads = meta.meta_grad(loss_fn, params, types.Task(c, d), once)
  v = a @ (adapted - d)  # one step goes along the right side, to the least error
  expected = 2 * v * (v @ v) / (v @ (v + a @ v / 0.3))
  np.testing.assert_allclose(grads, expected, rtol=1e-12)


def test_implicit_is_exact_once_the_inner_problem_is_solved():
  """A strongly convex inner problem whose Hessian is not constant."""
  rng = np.random.default_rng(1)
  x, y = rng.normal(size=(2, 3, 8, 4)), rng.integers(0, 2, (2, 3, 8)) * 2.0 - 1
  task = types.Task((x[0], y[0]), (x[1], y[1]))

  def loss_fn(p, batch):
    x, y = batch
    return jnp.mean(jnp.logaddexp(0, -y * (x @ p['w'])))

  params = {'w': rng.normal(size=4)}

  def taken_after(steps, mode):
    config = test_modes.with_mode(
      mode, inner_steps=steps, support_per_step=False, cg_tol=1e-10
    )
    return meta.meta_grad(loss_fn, params, task, config)

  errors = [
    grids.difference(taken_after(k, 'implicit'), taken_after(k, 'reverse'))
    for k in (5, 400)
  ]
  assert errors[0] > 1e-2 and errors[1] < 1e-8
