"""Every mode of the meta-gradient: the exact ones against finite differences and
each other, and what holds of all of them."""

import dataclasses
import functools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from metalog_jax import meta
from metalog_jax.meta import gradients, inner, outer
from metalog_jax.nets import logmeta, metalog
from tests import grids
from tests.meta import problems

STEPS = 5
CONFIG = meta.MetaConfig(
  inner_lr=0.2,
  inner_steps=STEPS,
  query_weight=2.0,
  proximal=0.3,
  truncate=2,
  **problems.SPLITS,
)
SIZES = {'dim': 3, 'lengths': (4, 3, 3, 1), 'rows': 5}
PROBLEMS = {
  'tanh': lambda: one_task(problems.regression(STEPS)),
  'gru_attention': lambda: problems.logs(metalog.Network(hidden=4), STEPS, **SIZES),
  'lstm_attention': lambda: problems.logs(logmeta.Network(hidden=3), STEPS, **SIZES),
}
SLOW = ('gru_attention', 'lstm_attention')
EACH = [
  pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
  for name in PROBLEMS
]
INEXACT = ('truncated', 'implicit', 'reptile')


def one_task(problem):
  return problem._replace(task=jax.tree.map(lambda x: x[0], problem.task))


def with_mode(mode, **change):
  named = {'order': 'first'} if mode == 'first' else {'gradient': mode}
  return dataclasses.replace(CONFIG, **named, **change)


def meta_grad(problem, config, params=None):
  params = problem.params if params is None else params
  return jax.jit(
    lambda p, t: meta.value_and_meta_grad(problem.loss_fn, p, t, config),
  )(params, problem.task)


def error_by_leaf(ours, theirs):
  """The largest error of a leaf, relative to the leaf's largest entry.

  Of a leaf without influence (the bias of LogMeta's attention), relative to all.
  """
  most = max(np.abs(leaf).max() for leaf in jax.tree.leaves(theirs))

  def error(a, b):
    scale = np.abs(b).max()
    return np.abs(a - b).max() / (scale if scale > 1e-10 * most else most)

  return max(jax.tree.leaves(jax.tree.map(error, ours, theirs)))


@functools.cache
def oracle(name):
  """Central differences of the meta-loss, whose value no mode changes, over every
  coordinate."""
  problem = PROBLEMS[name]()
  flat, unravel = jax.flatten_util.ravel_pytree(problem.params)
  loss = lambda p: meta.meta_loss(problem.loss_fn, p, problem.task, with_mode('first'))
  return unravel(
    problems.central_differences(loss, problem.params, np.eye(flat.size), step=1e-3)
  )


@functools.cache
def taken(name, mode):
  return meta_grad(PROBLEMS[name](), with_mode(mode))[1]


@pytest.mark.parametrize('mode', gradients.EXACT)
@pytest.mark.parametrize('name', EACH)
def test_exact_modes_agree_with_finite_differences_and_each_other(name, mode):
  assert error_by_leaf(taken(name, mode), oracle(name)) <= 1e-7
  assert error_by_leaf(taken(name, mode), taken(name, 'reverse')) <= 1e-12


@pytest.mark.parametrize('name', EACH)
def test_the_second_order_term_is_far_above_the_tolerance(name):
  """So that the test above fails for any mode that has lost it."""
  assert error_by_leaf(taken(name, 'first'), oracle(name)) > 1e-2


def test_the_librarys_own_differences():
  assert error_by_leaf(taken('tanh', 'finite'), oracle('tanh')) <= 1e-9


@pytest.mark.parametrize(
  'mode', ['first', 'auto', *gradients.EXACT, *INEXACT, 'finite']
)
def test_compiled_and_side_by_side_for_tasks_it_is_the_same(mode):
  loss_fn, params, tasks = problems.regression(2, num=2)
  config = with_mode(mode, inner_steps=2)
  grad = jax.jit(lambda task: meta.value_and_meta_grad(loss_fn, params, task, config))
  each = [grad(jax.tree.map(lambda x: x[i], tasks)) for i in range(2)]  # noqa: B023
  expected = jax.tree.map(lambda a, b: (a + b) / 2, *each)
  mapped = jax.tree.map(lambda x: x.mean(0), jax.jit(jax.vmap(grad))(tasks))
  tolerance = {'finite': 1e-10, 'implicit': 1e-10}.get(mode, 1e-14)
  assert grids.difference(mapped, expected) < tolerance


@pytest.mark.parametrize('mode', ['reverse', 'remat'])
def test_plain_modes_can_be_differentiated_forward(mode):
  problem = one_task(problems.regression(2))
  loss = lambda p: meta.meta_loss(
    problem.loss_fn, p, problem.task, with_mode(mode, inner_steps=2)
  )
  slope = jax.jvp(loss, (problem.params,), (problem.params,))[1]
  pairs = jax.tree.map(np.vdot, jax.grad(loss)(problem.params), problem.params)
  assert slope == pytest.approx(float(sum(jax.tree.leaves(pairs))), rel=1e-12)


def test_auto_chooses_by_what_would_be_kept_and_computes_nothing(monkeypatch):
  loss_fn, *arrays = problems.regression(STEPS, num=3)
  shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arrays)
  config = with_mode('auto', tasks='side_by_side')
  mode, why = meta.choose(loss_fn, *shapes, config)
  assert mode == 'linearized' and '5 inner steps, 3 tasks' in why
  why = meta.choose(loss_fn, *shapes, with_mode('auto', tasks='in_turn'))[1]
  assert '5 inner steps, 1 tasks' in why
  params, task = shapes[0], one_task(problems.regression(STEPS)).task
  batch = jax.tree.map(lambda x: x[0], task.support)
  one = with_mode('auto', support_per_step=False)
  pick = lambda tasks: inner.choose(loss_fn, params, batch, one, tasks)[0]
  assert [pick(1), pick(10**6)] == ['linearized', 'mixed']
  monkeypatch.setattr(gradients, 'KEEP', 1)
  assert meta.choose(loss_fn, *shapes, config)[0] == 'mixed'
  shared = with_mode('auto', inner_steps=1, support_per_step=False)
  assert meta.choose(loss_fn, *shapes, shared)[0] == 'linearized'
  assert meta.choose(loss_fn, *shapes, with_mode('remat'))[0] == 'remat'
  none = with_mode('auto', inner_steps=0, support_per_step=False)
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
    meta_grad(problem, with_mode('finite'))


@pytest.mark.parametrize(
  'points, steps, in_turn', [(10, 1, False), (10, 2, True), (20_000, 1, True)]
)
def test_many_small_tasks_of_one_step_are_taken_side_by_side(points, steps, in_turn):
  def loss_fn(params, batch):
    return jnp.mean(jnp.tanh(batch * params['w'] + params['b']) ** 2)

  params = {'w': jnp.ones(4), 'b': jnp.zeros(4)}
  tasks = meta.Task(*[jax.ShapeDtypeStruct((8, points, 1), jnp.float32)] * 2)
  config = meta.MetaConfig(inner_steps=steps)
  look = lambda config: outer.tasks_in_turn(loss_fn, params, tasks, config)
  assert look(config) == in_turn
  assert look(dataclasses.replace(config, tasks='in_turn'))
  assert not look(dataclasses.replace(config, tasks='side_by_side'))
