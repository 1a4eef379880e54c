"""Every way to take the meta-gradient: the exact ones against finite differences and
each other, the others against what they say they are, written out by hand."""

import dataclasses
import functools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from metalog_jax import meta, types
from metalog_jax.meta import gradients
from metalog_jax.nets import metalog
from tests import grids
from tests.meta import problems

STEPS = 5
CONFIG = meta.MetaConfig(
  inner_lr=0.2, inner_steps=STEPS, query_weight=2.0, proximal=0.3, truncate=2
)
SIZES = {'dim': 3, 'lengths': (4, 3, 3, 1), 'rows': 5}
PROBLEMS = {
  'tanh': lambda: one_task(problems.regression(STEPS)),
  'gru_attention': lambda: problems.logs(metalog.Network(hidden=4), STEPS, **SIZES),
}
SLOW = ('gru_attention',)
EACH = [
  pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
  for name in PROBLEMS
]
INEXACT = ('truncated', 'implicit', 'reptile')


def one_task(problem):
  return problem._replace(task=jax.tree.map(lambda x: x[0], problem.task))


def with_way(way, **change):
  named = {'order': 'first'} if way == 'first' else {'gradient': way}
  return dataclasses.replace(CONFIG, **named, **change)


def meta_grad(problem, config, params=None):
  params = problem.params if params is None else params
  return jax.jit(
    lambda p, t: meta.meta_grad(problem.loss_fn, p, t, config),
  )(params, problem.task)


def error_by_leaf(ours, theirs):
  """The largest error of a leaf, relative to the leaf's largest entry."""
  error = lambda a, b: np.abs(a - b).max() / np.abs(b).max()
  return max(jax.tree.leaves(jax.tree.map(error, ours, theirs)))


@functools.cache
def oracle(name):
  """Central differences of the meta-loss, whose value no way changes, over every
  coordinate."""
  problem = PROBLEMS[name]()
  flat, unravel = jax.flatten_util.ravel_pytree(problem.params)
  loss = lambda p: meta.meta_loss(problem.loss_fn, p, problem.task, with_way('first'))
  return unravel(
    problems.central_differences(loss, problem.params, np.eye(flat.size), step=1e-3)
  )


@functools.cache
def taken(name, way):
  return meta_grad(PROBLEMS[name](), with_way(way))[1]


@pytest.mark.parametrize('way', gradients.EXACT)
@pytest.mark.parametrize('name', EACH)
def test_exact_ways_agree_with_finite_differences_and_each_other(name, way):
  assert error_by_leaf(taken(name, way), oracle(name)) <= 1e-7
  assert error_by_leaf(taken(name, way), taken(name, 'reverse')) <= 1e-12


@pytest.mark.parametrize('name', EACH)
def test_the_second_order_term_is_far_above_the_tolerance(name):
  """So that the test above fails for any way that has lost it."""
  assert error_by_leaf(taken(name, 'first'), oracle(name)) > 1e-2


def test_the_librarys_own_differences():
  assert error_by_leaf(taken('tanh', 'finite'), oracle('tanh')) <= 1e-9


def written_out(problem, config, exact_from, params):
  """The meta-objective step by step, exact from step `exact_from` on.

  Returns θ_K as well.
  """
  adapted, total = params, 0.0
  for i in range(STEPS):
    hold = jax.lax.stop_gradient if i < exact_from else lambda x: x
    batch = jax.tree.map(lambda x: x[i], problem.task.support)  # noqa: B023
    total += problem.loss_fn(params, batch) / STEPS
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


@pytest.mark.parametrize('steps', [0, 1, 2, STEPS, STEPS + 1])
def test_truncated_is_first_order_before_the_last_steps(steps):
  problem = PROBLEMS['tanh']()
  config = with_way('truncated', truncate=steps)
  # The proximal term is anchored at the start: held constant with the early steps.
  f = lambda p: written_out(problem, config, STEPS - steps, p)[0]
  expected = jax.value_and_grad(f)(problem.params)
  ours = meta_grad(problem, config)
  assert grids.difference(ours, expected) < 1e-13
  same = {0: 'first', STEPS: 'reverse', STEPS + 1: 'reverse'}.get(steps)
  apart = error_by_leaf(ours[1], taken('tanh', 'reverse'))
  assert (apart < 1e-12) == (same == 'reverse')
  if same:
    assert error_by_leaf(ours[1], taken('tanh', same)) < 1e-12


def by_hand(problem, config):
  """(θ_K, ∇ of the support's mean at θ, ∇ of the query's at θ_K)."""
  adapted = written_out(problem, config, 0, problem.params)[1]
  mean = lambda p: jax.vmap(problem.loss_fn, (None, 0))(p, problem.task.support).mean()
  support = jax.grad(mean)(problem.params)
  return adapted, support, jax.grad(problem.loss_fn)(adapted, problem.task.query)


def test_first_order_is_the_gradients_where_they_are_taken():
  problem = PROBLEMS['tanh']()
  _, support, query = by_hand(problem, CONFIG)
  expected = jax.tree.map(lambda s, q: s + 2 * q, support, query)
  assert error_by_leaf(taken('tanh', 'first'), expected) < 1e-13


def test_reptile_is_the_way_gone_with_the_last_step_on_the_query():
  problem = PROBLEMS['tanh']()
  adapted, support, query = by_hand(problem, CONFIG)
  last = jax.tree.map(lambda p, g: p - 0.2 * g, adapted, query)
  expected = jax.tree.map(
    lambda s, start, end: s + 2 * (start - end) / 0.2, support, problem.params, last
  )
  assert error_by_leaf(taken('tanh', 'reptile'), expected) < 1e-13
  value = meta_grad(problem, with_way('reptile'))[0]
  assert value == pytest.approx(float(meta_grad(problem, CONFIG)[0]), rel=1e-14)


def quadratic(rng):
  a = rng.normal(size=(4, 4))
  return a @ a.T / 4 + np.eye(4)


def test_implicit_on_a_quadratic_in_closed_form():
  """Whatever the inner steps reach: (I + A/λ)⁻¹ A (θ_K - d)."""
  rng = np.random.default_rng(0)
  a, (c, d, params) = quadratic(rng), rng.normal(size=(3, 4))
  loss_fn = lambda p, center: 0.5 * (p - center) @ a @ (p - center)
  config = with_way(
    'implicit', support_per_step=False, support_weight=0.0, cg_tol=1e-12
  )
  adapted = meta.adapt(loss_fn, params, c, config)
  grads = meta.meta_grad(loss_fn, params, types.Task(c, d), config)[1]
  expected = 2 * np.linalg.solve(np.eye(4) + a / 0.3, a @ (adapted - d))
  np.testing.assert_allclose(grads, expected, rtol=1e-10)
  loose = dataclasses.replace(config, cg_tol=1e-2)
  grads = meta.meta_grad(loss_fn, params, types.Task(c, d), loose)[1]
  residual = (np.eye(4) + a / 0.3) @ grads - 2 * a @ (adapted - d)
  right = np.linalg.norm(2 * a @ (adapted - d))
  assert 1e-6 * right < np.linalg.norm(residual) <= 1e-2 * right
  once = dataclasses.replace(config, cg_steps=1)
  grads = meta.meta_grad(loss_fn, params, types.Task(c, d), once)[1]
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

  def taken_after(steps, way):
    config = with_way(way, inner_steps=steps, support_per_step=False, cg_tol=1e-10)
    return meta.meta_grad(loss_fn, params, task, config)[1]

  errors = [
    grids.difference(taken_after(k, 'implicit'), taken_after(k, 'reverse'))
    for k in (5, 400)
  ]
  assert errors[0] > 1e-2 and errors[1] < 1e-8


@pytest.mark.parametrize('way', ['first', 'auto', *gradients.EXACT, *INEXACT, 'finite'])
def test_compiled_and_side_by_side_for_tasks_it_is_the_same(way):
  loss_fn, params, tasks = problems.regression(2, num=2)
  config = with_way(way, inner_steps=2)
  grad = jax.jit(lambda task: meta.meta_grad(loss_fn, params, task, config))
  each = [grad(jax.tree.map(lambda x: x[i], tasks)) for i in range(2)]  # noqa: B023
  expected = jax.tree.map(lambda a, b: (a + b) / 2, *each)
  mapped = jax.tree.map(lambda x: x.mean(0), jax.jit(jax.vmap(grad))(tasks))
  tolerance = {'finite': 1e-10, 'implicit': 1e-10}.get(way, 1e-14)
  assert grids.difference(mapped, expected) < tolerance


@pytest.mark.parametrize('way', ['reverse', 'remat'])
def test_plain_ways_can_be_differentiated_forward(way):
  problem = one_task(problems.regression(2))
  loss = lambda p: meta.meta_loss(
    problem.loss_fn, p, problem.task, with_way(way, inner_steps=2)
  )
  slope = jax.jvp(loss, (problem.params,), (problem.params,))[1]
  pairs = jax.tree.map(np.vdot, jax.grad(loss)(problem.params), problem.params)
  assert slope == pytest.approx(float(sum(jax.tree.leaves(pairs))), rel=1e-12)


def test_auto_chooses_by_what_would_be_kept_and_computes_nothing(monkeypatch):
  loss_fn, *arrays = problems.regression(STEPS, num=3)
  shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arrays)
  config = with_way('auto')
  way, why = meta.choose(loss_fn, *shapes, config)
  assert way == 'linearized' and '5 inner steps, 3 tasks' in why
  params, task = shapes[0], one_task(problems.regression(STEPS)).task
  batch = jax.tree.map(lambda x: x[0], task.support)
  pick = lambda tasks: gradients.choose(loss_fn, params, batch, STEPS, tasks)[0]
  assert [pick(1), pick(10**6)] == ['linearized', 'mixed']
  monkeypatch.setattr(gradients, 'KEEP', 1)
  assert meta.choose(loss_fn, *shapes, config)[0] == 'mixed'
  shared = with_way('auto', inner_steps=1, support_per_step=False)
  assert meta.choose(loss_fn, *shapes, shared)[0] == 'linearized'
  assert meta.choose(loss_fn, *shapes, with_way('remat'))[0] == 'remat'
  none = with_way('auto', inner_steps=0, support_per_step=False)
  assert meta.choose(loss_fn, *shapes, none)[0] == 'reverse'


@pytest.mark.parametrize(
  'change, says',
  [
    ({'gradient': 'implicit', 'proximal': 0.0}, 'proximal > 0'),
    ({'gradient': 'truncated', 'truncate': -1}, 'truncate=-1'),
  ],
)
def test_settings_that_do_not_fit_are_an_error(change, says):
  with pytest.raises(ValueError, match=says):
    meta_grad(PROBLEMS['tanh'](), dataclasses.replace(CONFIG, **change))


def test_differences_refuse_single_precision():
  problem = PROBLEMS['tanh']()
  with jax.enable_x64(False), pytest.raises(ValueError, match='float64'):
    meta_grad(problem, with_way('finite'))
