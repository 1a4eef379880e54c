"""What users type: MAML by default, gradients by their names, errors that say what."""

import dataclasses
import doctest

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metalog_jax import errors, meta
from metalog_jax.meta import rules
from tests import grids
from tests.meta import problems

PROBLEM = problems.regression(1)
TASK = jax.tree.map(lambda x: x[0], PROBLEM.task)
TASK = TASK._replace(support=jax.tree.map(lambda x: x[0], TASK.support))
CONFIG = meta.MetaConfig(inner_lr=0.1, inner_steps=5)
SGD = optax.sgd(0.1)


def test_the_example_in_the_docstring_runs():
  with jax.enable_x64(False):
    found = doctest.testmod(meta)
  assert not found.failed and found.attempted >= 10


@pytest.mark.parametrize('x64, error', [(False, 1e-6), (True, 1e-13)])
def test_the_defaults_are_maml(x64, error):
  """Finn et al, 2017, written out, with as many rows as inner steps."""
  loss_fn = PROBLEM.loss_fn

  def by_hand(params):
    adapted = params
    for _ in range(5):
      grads = jax.grad(loss_fn)(adapted, TASK.support)
      adapted = jax.tree.map(lambda p, g: p - 0.1 * g, adapted, grads)
    return loss_fn(adapted, TASK.query)

  with jax.enable_x64(x64):
    params = jax.tree.map(jnp.asarray, PROBLEM.params)
    expected = jax.value_and_grad(by_hand)(params)
    both = meta.value_and_meta_grad(loss_fn, params, TASK, CONFIG)
    assert grids.difference(both, expected) < error
    grads = meta.meta_grad(loss_fn, params, TASK, CONFIG)
    assert grids.difference(grads, expected[1]) < error


def test_an_optax_transformation_is_a_rule():
  config = dataclasses.replace(CONFIG, rule=SGD)
  ours = meta.meta_grad(PROBLEM.loss_fn, PROBLEM.params, TASK, config)
  expected = meta.meta_grad(PROBLEM.loss_fn, PROBLEM.params, TASK, CONFIG)
  assert grids.difference(ours, expected) < 1e-14
  arguments = PROBLEM.loss_fn, PROBLEM.params, TASK.support
  parts = [rules.only(rule, ('v',)) for rule in (SGD, rules.sgd(0.1))]
  moved = [
    meta.adapt(*arguments, dataclasses.replace(CONFIG, rule=rule)) for rule in parts
  ]
  assert grids.difference(*moved) < 1e-14


def test_a_rate_may_be_differentiated():
  def at(rate):
    config = meta.MetaConfig(inner_lr=rate, inner_steps=2, rule=None)
    return meta.meta_loss(PROBLEM.loss_fn, PROBLEM.params, TASK, config)

  def by_optax(rate):
    config = meta.MetaConfig(inner_steps=2, rule=optax.sgd(rate))
    return meta.meta_loss(PROBLEM.loss_fn, PROBLEM.params, TASK, config)

  slope = (at(0.1 + 1e-5) - at(0.1 - 1e-5)) / 2e-5
  assert jax.grad(at)(0.1) == pytest.approx(float(slope), rel=1e-6)
  assert jax.grad(by_optax)(0.1) == pytest.approx(float(slope), rel=1e-6)


@pytest.mark.parametrize(
  'change, says',
  [
    ({'order': 'First'}, "did you mean 'first'"),
    ({'gradient': 'mixd'}, "did you mean 'mixed'"),
    ({'tasks': 'in turn'}, "did you mean 'in_turn'"),
    ({'inner_lr': float('nan')}, 'inner_lr=nan'),
    ({'inner_lr': -0.1}, 'inner_lr=-0.1'),
    ({'inner_lr': '0.1'}, "inner_lr='0.1'"),
    ({'query_weight': float('inf')}, 'query_weight=inf'),
    ({'inner_steps': 2.5}, 'inner_steps=2.5'),
    ({'inner_steps': -1}, 'inner_steps=-1'),
    ({'proximal': np.nan}, 'proximal=nan'),
    ({'truncate': -1}, 'truncate=-1'),
    ({'support_per_step': 'False'}, "support_per_step='False'"),
    ({'rule': 'adam'}, "rule='adam'"),
  ],
)
def test_settings_are_checked_when_they_are_made(change, says):
  with pytest.raises(errors.UserError, match=says):
    meta.MetaConfig(**change)


def test_a_rule_that_optax_does_not_have():
  with pytest.raises(errors.UserError, match="did you mean 'adam'"):
    rules.named('adm', 0.1)


@pytest.mark.parametrize(
  'call, says',
  [
    (lambda: grad_of(task=tuple(TASK)), 'Task.support, query., not a tuple'),
    (lambda: grad_of(loss_fn=lambda p, b: b[0][:, 0]), r'float64\[5\]'),
    (lambda: grad_of(loss_fn=lambda p, b: (p['w'].sum(), 0)), 'one real number'),
    (lambda: grad_of(params=PROBLEM.params | {'b': np.arange(4)}), "'b'.*int64"),
    (lambda: grad_of(rule=rules.learned(5)), 'with_rates'),
    (lambda: step()(PROBLEM.params, tasks()), 'init_state.*not a dict'),
    (lambda: step()(state(), tuple(tasks())), 'not a tuple'),
    (lambda: step()(state(), TASK._replace(query=np.ones(3))), 'same leading axis'),
    (lambda: step()(state(optax.adam(0.1)), tasks()), 'another optimizer'),
  ],
)
def test_what_does_not_fit_is_named(call, says):
  with pytest.raises(errors.UserError, match=says):
    call()


def grad_of(loss_fn=PROBLEM.loss_fn, params=PROBLEM.params, task=TASK, **change):
  config = dataclasses.replace(CONFIG, **change)
  return meta.meta_grad(loss_fn, params, task, config)


def step():
  return meta.make_meta_step(PROBLEM.loss_fn, SGD, CONFIG)


def state(optimizer=SGD):
  return meta.init_state(PROBLEM.params, optimizer)


def tasks():
  return jax.tree.map(lambda x: x[None], TASK)


def test_a_state_that_was_given_away():
  first, run = state(), step()
  second, _ = run(first, tasks())
  with pytest.raises(errors.UserError, match='go on with the state'):
    run(first, tasks())
  run(second, tasks())
