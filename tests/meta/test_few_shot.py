"""MAML on LogMeta's network over tasks; its kin, each written out by hand."""

import dataclasses

import jax
import jax.flatten_util
import numpy as np
import optax
import pytest

from metalog_jax import meta, types
from metalog_jax.meta import gradients, inner, objective, rules
from tests import grids
from tests.meta import problems

STEPS, RATE = 5, 0.3
MAML = meta.MetaConfig(
  inner_lr=RATE,
  inner_steps=STEPS,
  support_weight=0.0,
  query_weight=1.0,
  support_per_step=False,
)


@pytest.fixture(name='problem', scope='module')
def fixture_problem():
  with jax.enable_x64(True):
    return problems.few_shot()


@pytest.fixture(name='one', scope='module')
def fixture_one():
  """A small network, and one task with one support batch."""
  with jax.enable_x64(True):
    problem = problems.regression(1)
    support, query = jax.tree.map(lambda x: x[0], problem.task)
    return problem._replace(
      task=types.Task(jax.tree.map(lambda x: x[0], support), query)
    )


def meta_grad(problem, config, params=None, step=0):
  params = problem.params if params is None else params
  return jax.jit(
    lambda p, t: meta.value_and_meta_grad(problem.loss_fn, p, t, config, step)
  )(params, problem.task)


def over_tasks(problem, config):
  """(params -> the mean meta-objective), tasks side by side."""
  each = lambda p, t: meta.meta_loss(problem.loss_fn, p, t, config)
  return lambda p: jax.vmap(each, (None, 0))(p, problem.task).mean()


def descend(problem, params, step, num=STEPS):
  """θ₁ .. θ_K of `step`(i, θ, ∇) -> θ, in a loop of Python."""
  passed = []
  for i in range(num):
    params = step(i, params, jax.grad(problem.loss_fn)(params, problem.task.support))
    passed.append(params)
  return passed


def test_the_gradient_over_tasks_against_finite_differences(problem):
  """Five inner steps, four tasks side by side: every coordinate."""
  loss = over_tasks(problem, MAML)
  size = jax.flatten_util.ravel_pytree(problem.params)[0].size
  slopes = problems.central_differences(loss, problem.params, np.eye(size))

  def error(config):
    grads = jax.jit(jax.grad(over_tasks(problem, config)))(problem.params)
    grads = jax.flatten_util.ravel_pytree(grads)[0]
    return np.abs(grads - slopes).max() / np.abs(slopes).max()

  assert error(MAML) <= 1e-7
  assert error(dataclasses.replace(MAML, order='first')) > 1e-2


def test_tasks_side_by_side_are_a_loop_over_tasks(problem):
  optimizer = optax.sgd(0.5)
  step = meta.make_meta_step(problem.loss_fn, optimizer, MAML)
  state, metrics = step(meta.init_state(problem.params, optimizer), problem.task)
  grad = jax.jit(lambda p, t: meta.value_and_meta_grad(problem.loss_fn, p, t, MAML))
  take = lambda i: jax.tree.map(lambda x: x[i], problem.task)
  every = [grad(problem.params, take(i)) for i in range(4)]
  values, grads = zip(*every, strict=True)
  mean = jax.tree.map(lambda *x: sum(x) / 4, *grads)
  expected = jax.tree.map(lambda p, g: p - 0.5 * g, problem.params, mean)
  assert grids.difference(state.params, expected) < 1e-12
  assert float(metrics['loss']) == pytest.approx(np.mean(values), rel=1e-12)


@pytest.mark.parametrize('mode', gradients.EXACT)
@pytest.mark.parametrize('parts', [('v',), ('b', 'v')])
def test_anil_moves_some_parts_alone(one, parts, mode):
  def written_out(params):
    step = lambda _, p, g: {k: p[k] - RATE * g[k] if k in parts else p[k] for k in p}
    return one.loss_fn(descend(one, params, step)[-1], one.task.query)

  config = dataclasses.replace(
    MAML, rule=rules.only(rules.sgd(RATE), parts), gradient=mode
  )
  ours = meta_grad(one, config)
  assert grids.difference(
    ours, jax.jit(jax.value_and_grad(written_out))(one.params)
  ) < (1e-12)
  assert all(np.abs(x).max() > 0 for x in jax.tree.leaves(ours[1]['w']))
  adapted = meta.adapt(one.loss_fn, one.params, one.task.support, config)
  moved = {k for k in adapted if grids.difference(adapted[k], one.params[k]) > 0}
  assert moved == set(parts)


def test_parts_that_are_not_there(one):
  config = dataclasses.replace(MAML, rule=rules.only(rules.sgd(RATE), ('tail',)))
  with pytest.raises(ValueError, match='tail'):
    meta_grad(one, config)


@pytest.mark.parametrize('each', ['leaf', 'entry'])
def test_meta_sgd_learns_its_rates(one, each):
  learned = rules.with_rates(one.params, RATE, 1, each)
  rng = np.random.default_rng(0)
  scale = lambda r: r * rng.uniform(0.5, 2, r.shape)
  learned = learned._replace(rates=jax.tree.map(scale, learned.rates))

  def written_out(learned):
    step = lambda _, p, g: jax.tree.map(
      lambda p, g, r: p - r[0] * g, p, g, learned.rates
    )
    return one.loss_fn(descend(one, learned.params, step)[-1], one.task.query)

  config = dataclasses.replace(MAML, rule=rules.learned(STEPS))
  expected = jax.jit(jax.value_and_grad(written_out))(learned)
  assert grids.difference(meta_grad(one, config, learned), expected) < 1e-12


@pytest.mark.parametrize('mode', ['first', *gradients.EXACT])
@pytest.mark.parametrize('step', [0, 4, 10, 17])
def test_maml_plus_plus_looks_after_every_step(one, step, mode):
  """Losses after each step, which fade over 10 meta-steps; rates by step and leaf."""
  learned = rules.with_rates(one.params, RATE, STEPS)
  rng = np.random.default_rng(0)
  scale = lambda r: r * rng.uniform(0.5, 2, r.shape)
  learned = learned._replace(rates=jax.tree.map(scale, learned.rates))
  early = max(1 - step / 10, 0) / STEPS
  weights = [early] * (STEPS - 1) + [1 - (STEPS - 1) * early]
  hold = jax.lax.stop_gradient if mode == 'first' else lambda x: x

  def written_out(learned):
    move = lambda i, p, g: jax.tree.map(
      lambda p, g, r: p - r[i] * hold(g), p, g, learned.rates
    )
    passed = descend(one, learned.params, move)
    return sum(w * one.loss_fn(p, one.task.query) for w, p in zip(weights, passed))

  config = dataclasses.replace(
    MAML,
    rule=rules.learned(STEPS),
    anneal=10,
    order='first' if mode == 'first' else 'second',
    gradient='mixed' if mode == 'first' else mode,
  )
  expected = jax.jit(jax.value_and_grad(written_out))(learned)
  assert grids.difference(meta_grad(one, config, learned, step), expected) < 1e-12
  if step >= 10:
    last = dataclasses.replace(config, anneal=0)
    assert grids.difference(meta_grad(one, last, learned), expected) < 1e-12


def test_a_meta_step_anneals_by_its_own_count(one):
  optimizer = optax.sgd(0.0)
  config = dataclasses.replace(MAML, anneal=2)
  step = meta.make_meta_step(one.loss_fn, optimizer, config)
  state = meta.init_state(one.params, optimizer)
  tasks, found = jax.tree.map(lambda x: x[None], one.task), []
  for _ in range(4):
    state, metrics = step(state, tasks)
    found.append(float(metrics['loss']))
  expected = [float(meta_grad(one, config, step=n)[0]) for n in range(4)]
  np.testing.assert_allclose(found, expected, rtol=1e-12)
  assert len({*found}) == 3 and found[2] == found[3]


@pytest.mark.parametrize('mode', ['implicit', 'reptile'])
def test_modes_without_losses_after_each_step(one, mode):
  config = dataclasses.replace(MAML, anneal=5, gradient=mode, proximal=1.0)
  with pytest.raises(ValueError, match=mode):
    meta_grad(one, config)


def test_reptile_goes_where_the_steps_went(one):
  config = dataclasses.replace(MAML, gradient='reptile')
  move = lambda _, p, g: jax.tree.map(lambda x, y: x - RATE * y, p, g)
  last = descend(one, one.params, move)[-1]
  last = move(0, last, jax.grad(one.loss_fn)(last, one.task.query))
  expected = jax.tree.map(lambda a, b: (a - b) / RATE, one.params, last)
  assert grids.difference(meta_grad(one, config)[1], expected) < 1e-12


def test_weights_of_the_steps():
  np.testing.assert_allclose(objective.step_weights(4, 8, 0), [0.25] * 4)
  np.testing.assert_allclose(objective.step_weights(4, 8, 4), [0.125] * 3 + [0.625])
  np.testing.assert_allclose(objective.step_weights(4, 8, 99), [0, 0, 0, 1])


def test_the_path_ends_where_adapt_does(one):
  for change in ({}, {'gradient': 'truncated', 'truncate': 2}, {'order': 'first'}):
    config = dataclasses.replace(MAML, **change)
    arguments = one.loss_fn, one.params, one.task.support, config
    path, adapted = meta.path(*arguments), meta.adapt(*arguments)
    assert {len(x) for x in jax.tree.leaves(path)} == {STEPS}
    assert grids.difference(jax.tree.map(lambda x: x[-1], path), adapted) == 0


@pytest.mark.parametrize('rule', ['sgd', 'adam', 'learned'])
def test_after_some_steps_it_is_where_the_path_was(one, rule):
  params, config = one.params, dataclasses.replace(MAML, order='first')
  if rule == 'adam':
    config = dataclasses.replace(config, rule=rules.named('adam', 0.05))
  if rule == 'learned':
    params = rules.with_rates(params, 0.1, STEPS)
    rates = jax.tree.map(lambda r: r * np.arange(1.0, STEPS + 1), params.rates)
    params = params._replace(rates=rates)
    config = dataclasses.replace(config, rule=rules.learned(STEPS))
  arguments = one.loss_fn, params, one.task.support, config
  run = jax.jit(lambda steps: inner.after(*arguments, steps))
  path = meta.path(*arguments)
  for steps in range(1, STEPS + 1):
    expected = jax.tree.map(lambda x, i=steps - 1: x[i], path)
    assert grids.difference(run(steps), expected) < 1e-14
  assert grids.difference(run(0), one.params) == 0
  assert run._cache_size() == 1


def test_more_steps_than_rates_go_on_with_the_last(one):
  learned = rules.with_rates(one.params, 0.1, 2)
  rates = jax.tree.map(lambda r: r * np.array([1.0, 3.0]), learned.rates)
  config = dataclasses.replace(MAML, inner_steps=4, rule=rules.learned(4))
  ours = meta.adapt(
    one.loss_fn, learned._replace(rates=rates), one.task.support, config
  )
  move = lambda i, p, g: jax.tree.map(lambda x, y: x - (0.3 if i else 0.1) * y, p, g)
  assert grids.difference(ours, descend(one, one.params, move, 4)[-1]) < 1e-12


def test_adam_by_name_is_safe_and_nonsense_is_not_taken(one):
  ours = meta_grad(one, dataclasses.replace(MAML, rule=rules.named('adam', 0.05)))
  rule = rules.from_optax(optax.adam(0.05, eps_root=1e-8))
  assert (
    grids.difference(ours, meta_grad(one, dataclasses.replace(MAML, rule=rule))) == 0
  )
  for name in ('no_such', 'apply_updates', 'chain'):
    with pytest.raises(ValueError, match=name):
      rules.named(name, 0.1)
