"""What must hold of meta-learning whatever the loss."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metalog_jax import meta, types
from tests import grids
from tests.meta import problems

CONFIG = meta.MetaConfig(
  inner_lr=0.1, inner_steps=3, query_weight=2.0, **problems.SPLITS
)
SECOND = [
  dataclasses.replace(CONFIG, gradient=gradient) for gradient in ('mixed', 'reverse')
]


def first_task(tasks):
  return jax.tree.map(lambda x: x[0], tasks)


@pytest.mark.parametrize('gradient', ['mixed', 'reverse'])
def test_quadratic_in_closed_form(gradient):
  """L(θ) = ½ (θ-c)ᵀA(θ-c): the adapted parameters and their Jacobian are known."""
  rng = np.random.default_rng(0)
  a = rng.normal(size=(4, 4))
  a = a @ a.T / 4
  c, d, params = rng.normal(size=(3, 4))
  loss_fn = lambda p, center: 0.5 * (p - center) @ a @ (p - center)
  config = meta.MetaConfig(
    inner_lr=0.2, inner_steps=3, gradient=gradient, support_weight=1, query_weight=4
  )
  shrink = np.linalg.matrix_power(np.eye(4) - 0.2 * a, 3)
  adapted = c + shrink @ (params - c)
  expected = a @ (params - c) + 4 * shrink @ a @ (adapted - d)
  ours = meta.adapt(loss_fn, params, c, config)
  grads = meta.meta_grad(loss_fn, params, types.Task(c, d), config)
  np.testing.assert_allclose(ours, adapted, atol=1e-14)
  np.testing.assert_allclose(grads, expected, atol=1e-13)
  first = dataclasses.replace(config, order='first')
  grads = meta.meta_grad(loss_fn, params, types.Task(c, d), first)
  expected = a @ (params - c) + 4 * a @ (adapted - d)
  np.testing.assert_allclose(grads, expected, atol=1e-13)


@pytest.mark.parametrize('config', SECOND, ids=lambda c: c.gradient)
def test_scan_equals_steps_written_out(config):
  loss_fn, params, tasks = problems.regression(steps=3)
  task = first_task(tasks)

  def written_out(params):
    adapted, total = params, 0.0
    for i in range(3):
      batch = jax.tree.map(lambda x: x[i], task.support)  # noqa: B023
      total += loss_fn(params, batch) / 3
      grads = jax.grad(loss_fn)(adapted, batch)
      adapted = jax.tree.map(lambda p, g: p - 0.1 * g, adapted, grads)
    return total + 2 * loss_fn(adapted, task.query)

  expected = jax.value_and_grad(written_out)(params)
  ours = meta.value_and_meta_grad(loss_fn, params, task, config)
  compiled = jax.jit(lambda p, t: meta.value_and_meta_grad(loss_fn, p, t, config))(
    params, task
  )
  assert grids.difference(ours, expected) < 1e-14
  assert grids.difference(compiled, expected) < 1e-14


@pytest.mark.parametrize(
  'change', [{'inner_lr': 0.0}, {'inner_steps': 0}, {'inner_lr': 0.0, 'order': 'first'}]
)
def test_without_adaptation_it_is_joint_training(change):
  config = dataclasses.replace(CONFIG, **change)
  loss_fn, params, tasks = problems.regression(steps=config.inner_steps or 3)
  support, query = task = first_task(tasks)
  if not config.inner_steps:
    config = dataclasses.replace(config, support_per_step=False)
    support = jax.tree.map(lambda x: x[0], support)
    task = types.Task(support, query)
    joint = lambda p: loss_fn(p, support) + 2 * loss_fn(p, query)
  else:
    mean = jax.vmap(loss_fn, (None, 0))
    joint = lambda p: mean(p, support).mean() + 2 * loss_fn(p, query)
  ours = meta.value_and_meta_grad(loss_fn, params, task, config)
  assert grids.difference(ours, jax.value_and_grad(joint)(params)) < 1e-14


def test_maml_is_the_case_without_support_loss():
  config = dataclasses.replace(CONFIG, support_weight=0.0, query_weight=1.0)
  loss_fn, params, tasks = problems.regression(steps=3)
  task = first_task(tasks)
  maml = lambda p: loss_fn(meta.adapt(loss_fn, p, task.support, config), task.query)
  ours = meta.value_and_meta_grad(loss_fn, params, task, config)
  assert grids.difference(ours, jax.value_and_grad(maml)(params)) < 1e-14


@pytest.mark.parametrize('num', [1, 3])
@pytest.mark.parametrize('how', ['in_turn', 'side_by_side'])
def test_a_step_takes_the_mean_over_tasks(how, num):
  loss_fn, params, tasks = problems.regression(steps=3, num=num)
  optimizer = optax.sgd(0.5)
  config = dataclasses.replace(CONFIG, tasks=how)
  step = meta.make_meta_step(loss_fn, optimizer, config)
  state, metrics = step(meta.init_state(params, optimizer), tasks)
  one = lambda i: jax.tree.map(lambda x: x[i], tasks)
  each = [meta.value_and_meta_grad(loss_fn, params, one(i), CONFIG) for i in range(num)]
  value, grads = jax.tree.map(lambda *x: sum(x) / num, *each)
  expected = jax.tree.map(lambda p, g: p - 0.5 * g, params, grads)
  assert grids.difference(state.params, expected) < 1e-14
  assert float(metrics['loss']) == pytest.approx(float(value), rel=1e-14)
  parts = metrics['support_loss'] + 2 * metrics['query_loss']
  assert float(metrics['loss']) == pytest.approx(float(parts), rel=1e-14)
  assert state.step == 1


@pytest.mark.parametrize('how', ['in_turn', 'side_by_side'])
def test_runs_side_by_side_are_the_runs_alone(how):
  """Of other first weights and other data each, in two steps of Adam."""
  loss_fn, params, tasks = problems.regression(steps=3, num=4)
  optimizer = optax.adam(1e-2)
  config = dataclasses.replace(CONFIG, tasks=how)
  tasks = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), tasks)  # [S, T, ...]
  starts = [jax.tree.map(lambda x: (1 + i) * x, params) for i in range(2)]  # noqa: B023
  states = [meta.init_state(start, optimizer) for start in starts]
  step = meta.make_meta_step(loss_fn, optimizer, config)
  both = meta.make_meta_step(loss_fn, optimizer, config, runs=True)
  state, expected = problems.stack(states), []
  for _ in range(2):
    state, metrics = both(state, tasks)
  for i, alone in enumerate(states):
    for _ in range(2):
      alone, found = step(alone, jax.tree.map(lambda x: x[i], tasks))  # noqa: B023
    expected.append((alone.params, found))
  assert grids.difference((state.params, metrics), problems.stack(expected)) < 1e-12
  assert state.step.tolist() == [2, 2]


def test_one_compilation_and_no_use_of_what_was_given_away():
  loss_fn, params, tasks = problems.regression(steps=3, num=2)
  optimizer = optax.adam(1e-2)
  step = meta.make_meta_step(loss_fn, optimizer, CONFIG)
  state = meta.init_state(params, optimizer)
  losses = []
  for _ in range(30):
    given, (state, metrics) = state, step(state, tasks)
    losses.append(float(metrics['loss']))
  assert step._cache_size() == 1
  assert losses[-1] < losses[0]
  assert given.params['w'].is_deleted()
  assert isinstance(params['w'], np.ndarray)  # the caller's own are untouched


def test_any_pytree_and_any_dtype():
  params = [jnp.ones(2, jnp.float32), {'x': jnp.ones((), jnp.float32)}]
  loss_fn = lambda p, batch: jnp.sum((p[0] - batch) ** 2) * p[1]['x']
  config = dataclasses.replace(CONFIG, support_per_step=False)
  task = types.Task(jnp.zeros(2, jnp.float32), jnp.ones(2, jnp.float32))
  value, grads = meta.value_and_meta_grad(loss_fn, params, task, config)
  assert jax.tree.structure(grads) == jax.tree.structure(params)
  assert {x.dtype for x in jax.tree.leaves((value, grads))} == {np.dtype('float32')}


def test_a_support_of_the_wrong_length_is_an_error():
  loss_fn, params, tasks = problems.regression(steps=2)
  with pytest.raises(ValueError, match='inner_steps=3.*shape'):
    meta.value_and_meta_grad(loss_fn, params, first_task(tasks), CONFIG)


def test_mixed_refuses_forward_mode_rather_than_answer_wrongly():
  loss_fn, params, tasks = problems.regression(steps=3)
  loss = lambda p: meta.meta_loss(loss_fn, p, first_task(tasks), CONFIG)
  with pytest.raises(TypeError):
    jax.jvp(loss, (params,), (params,))
