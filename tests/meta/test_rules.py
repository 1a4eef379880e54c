"""Inner rules: optax inside, rates that are learned, and no NaN without a word."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metalog_jax import meta
from metalog_jax.meta import gradients, rules
from tests import grids
from tests.meta import problems

STEPS = 3
CONFIG = meta.MetaConfig(
  inner_lr=0.1, inner_steps=STEPS, query_weight=2.0, **problems.SPLITS
)
ADAM = optax.adam(0.05, eps_root=1e-8)


@pytest.fixture(name='problem')
def fixture_problem():
  problem = problems.regression(STEPS)
  return problem._replace(task=jax.tree.map(lambda x: x[0], problem.task))


def meta_grad(problem, params, rule, **change):
  config = dataclasses.replace(CONFIG, rule=rule, **change)
  return jax.jit(lambda p, t: meta.value_and_meta_grad(problem.loss_fn, p, t, config))(
    params, problem.task
  )


def test_optax_descent_is_the_librarys(problem):
  theirs = meta_grad(problem, problem.params, rules.from_optax(optax.sgd(0.1)))
  ours = meta_grad(problem, problem.params, None)
  assert grids.difference(theirs, ours) < 1e-15


@pytest.mark.parametrize('mode', gradients.EXACT)
def test_adam_inside_is_adam_written_out(problem, mode):
  loss_fn, params, task = problem

  def written_out(params):
    adapted, state, total = params, ADAM.init(params), 0.0
    for i in range(STEPS):
      batch = jax.tree.map(lambda x: x[i], task.support)  # noqa: B023
      total += loss_fn(params, batch) / STEPS
      updates, state = ADAM.update(jax.grad(loss_fn)(adapted, batch), state)
      adapted = optax.apply_updates(adapted, updates)
    return total + 2 * loss_fn(adapted, task.query)

  ours = meta_grad(problem, params, rules.from_optax(ADAM), gradient=mode)
  assert grids.difference(ours, jax.value_and_grad(written_out)(params)) < 1e-12


def dead(problem):
  """The problem with a parameter whose gradient is always zero."""
  loss_fn = lambda p, batch: problem.loss_fn(p['live'], batch) + 0 * p['dead'].sum()
  params = {'live': problem.params, 'dead': np.ones(2)}
  return problem._replace(loss_fn=loss_fn, params=params)


def test_adam_at_a_gradient_of_zero(problem):
  problem = dead(problem)
  unsafe, safe = rules.from_optax(optax.adam(0.05)), rules.from_optax(ADAM)
  for rule in (unsafe, rules.from_optax(optax.rmsprop(0.05, eps_in_sqrt=False))):
    with pytest.raises(ValueError, match='eps_root'):
      meta_grad(problem, problem.params, rule)
  grads = meta_grad(problem, problem.params, safe)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(grads))
  first = meta_grad(problem, problem.params, unsafe, order='first')
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(first))


@pytest.mark.parametrize('each', ['leaf', 'entry'])
@pytest.mark.parametrize('steps', [1, STEPS])
def test_learned_rates_that_are_equal_are_descent(problem, steps, each):
  learned = rules.with_rates(problem.params, 0.1, steps, each)
  value, grads = meta_grad(problem, learned, rules.learned(STEPS))
  assert jax.tree.structure(grads) == jax.tree.structure(learned)
  expected = meta_grad(problem, problem.params, None)
  assert grids.difference((value, grads.params), expected) < 1e-14


@pytest.mark.parametrize('mode', gradients.EXACT)
@pytest.mark.parametrize('each', ['leaf', 'entry'])
def test_the_gradient_of_rates_against_finite_differences(problem, each, mode):
  learned = rules.with_rates(problem.params, 0.1, STEPS, each)
  grads = meta_grad(problem, learned, rules.learned(STEPS), gradient=mode)[1]
  flat, unravel = jax.flatten_util.ravel_pytree(learned)
  config = dataclasses.replace(CONFIG, rule=rules.learned(STEPS))
  loss = lambda p: meta.meta_loss(problem.loss_fn, p, problem.task, config)
  slopes = problems.central_differences(loss, learned, np.eye(flat.size))
  error = lambda a, b: np.abs(a - b).max() / np.abs(b).max()
  assert max(jax.tree.leaves(jax.tree.map(error, grads, unravel(slopes)))) < 1e-7


def test_first_order_rates_are_pushed_along_the_gradients(problem):
  """∂L_Q/∂r_i = -g_i · ∇L_Q(θ_K), with the inner gradients as constants."""
  loss_fn, params, task = problem
  learned = rules.with_rates(params, 0.1, STEPS)
  rates = meta_grad(problem, learned, rules.learned(STEPS), order='first')[1].rates
  adapted, inner = params, []
  for i in range(STEPS):
    batch = jax.tree.map(lambda x: x[i], task.support)  # noqa: B023
    inner.append(jax.grad(loss_fn)(adapted, batch))
    adapted = jax.tree.map(lambda p, g: p - 0.1 * g, adapted, inner[-1])
  query = jax.grad(loss_fn)(adapted, task.query)
  for name in params:
    expected = [-2 * np.vdot(g[name], query[name]) for g in inner]
    np.testing.assert_allclose(rates[name], expected, rtol=1e-12)


def test_a_meta_step_learns_the_rates():
  loss_fn, params, tasks = problems.regression(STEPS, num=2)
  config = dataclasses.replace(CONFIG, rule=rules.learned(STEPS), gradient='auto')
  optimizer = optax.adam(1e-2)
  step = meta.make_meta_step(loss_fn, optimizer, config)
  learned = rules.with_rates(params, 0.1, STEPS)
  state = meta.init_state(learned, optimizer)
  values = []
  for _ in range(20):
    state, metrics = step(state, tasks)
    values.append(float(metrics['loss']))
  assert values[-1] < values[0]
  moved = jax.tree.map(lambda r: float(jnp.abs(r - 0.1).min()), state.params.rates)
  assert min(jax.tree.leaves(moved)) > 1e-3


@pytest.mark.parametrize('mode', ['implicit', 'reptile'])
def test_modes_that_cannot_learn_rates_say_so(problem, mode):
  learned = rules.with_rates(problem.params, 0.1)
  with pytest.raises(ValueError, match='learned inner rates'):
    meta_grad(problem, learned, rules.learned(STEPS), gradient=mode, proximal=1.0)
