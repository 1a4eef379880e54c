"""Meta-parameters apart from initial weights: of loss, data and optimizer."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metalog_jax import errors, meta
from metalog_jax.meta import gradients, rules
from tests import grids
from tests.meta import problems

STEPS = 4
CONFIG = meta.MetaConfig(
  inner_lr=0.2, inner_steps=STEPS, support_weight=0.5, query_weight=2.0
)
NETWORK = problems.regression(1)
(X, Y), (X_QUERY, Y_QUERY) = jax.tree.map(lambda x: x[0], NETWORK.task)
SUPPORT, QUERY = (X[0], Y[0], np.arange(5)), (X_QUERY, Y_QUERY)
TASK = meta.Task(SUPPORT, QUERY)
ADAM = optax.inject_hyperparams(optax.adamw)(0.05, eps_root=1e-4)
SGD = optax.inject_hyperparams(optax.sgd)(0.05, momentum=0.5)


class Case(NamedTuple):
  loss_fn: Any
  hyper: Any
  config: meta.MetaConfig = CONFIG


def errors_of_rows(params, x, y):
  out = jnp.tanh(x @ params['w'] + params['b']) @ params['v']
  return jnp.mean((out - y) ** 2, -1)


def weighted(params, hyper, batch):
  """Rows of the support with a weight each; the query's are alike."""
  rows = errors_of_rows(params, *batch[:2])
  return jnp.mean(jax.nn.sigmoid(hyper[batch[2]]) * rows if len(batch) > 2 else rows)


def decayed(params, hyper, batch):
  squares = jax.tree.map(lambda p, h: h * jnp.sum(p**2), params, hyper['decay'])
  return jnp.mean(errors_of_rows(params, *batch[:2])) + sum(jax.tree.leaves(squares))


def learned_loss(params, hyper, batch):
  """A network of the rows' errors is what the inner steps lower."""
  rows = errors_of_rows(params, *batch[:2])
  if len(batch) == 2:
    return rows.mean()
  return jnp.mean(jnp.tanh(rows[:, None] * hyper['in']) @ hyper['out'])


def plain(params, hyper, batch):
  return jnp.mean(errors_of_rows(params, *batch[:2]))


def momentum(hyper):
  return optax.sgd(hyper['rate'], momentum=hyper['momentum'])


def with_rule(rule):
  return dataclasses.replace(CONFIG, rule=rule)


ADAM_HYPER = {'learning_rate': 0.05, 'b1': 0.8, 'b2': 0.9, 'weight_decay': 0.1}
RATES = jax.tree.map(lambda p: 0.1 + 0.01 * np.abs(p), NETWORK.params)
CASES = {
  'reweighting': Case(weighted, np.linspace(-1, 1, 5)),
  'decay': Case(decayed, {'decay': {'w': 0.1, 'b': 0.2, 'v': 0.05}}),
  'learned_loss': Case(
    learned_loss, {'in': np.linspace(0.2, 1, 3), 'out': np.linspace(1, 0.3, 3)}
  ),
  'momentum': Case(plain, {'rate': 0.1, 'momentum': 0.8}, with_rule(momentum)),
  'injected_momentum': Case(
    plain,
    {'sgd': {'learning_rate': 0.1, 'momentum': 0.8}},
    with_rule(rules.injected(SGD, 'sgd')),
  ),
  'injected_adamw': Case(plain, ADAM_HYPER, with_rule(rules.injected(ADAM))),
  'rates': Case(plain, RATES, with_rule(rules.sgd)),  # Meta-SGD
  'some_parts': Case(
    plain, {'v': 0.1}, with_rule(rules.only(lambda h: rules.sgd(h['v']), ('v',)))
  ),
}


def in_float64(tree):
  return jax.tree.map(lambda x: jnp.asarray(x, float), tree)


def gradient(case, **change):
  config = dataclasses.replace(case.config, **change)
  grad = lambda p, h: meta.meta_grad(case.loss_fn, p, TASK, config, hyper=h, wrt='both')
  return jax.jit(grad)(NETWORK.params, in_float64(case.hyper))


@functools.cache
def slopes(name):
  case = CASES[name]
  both = NETWORK.params, in_float64(case.hyper)
  flat, unravel = jax.flatten_util.ravel_pytree(both)
  loss = lambda b: meta.meta_loss(case.loss_fn, b[0], TASK, case.config, hyper=b[1])
  # Adam's root turns sharply where gradients are small.
  width = 1e-4 if 'adam' in name else 1e-3
  return unravel(problems.central_differences(loss, both, np.eye(flat.size), width))


def error(ours, theirs):
  """The largest error of a leaf, relative to the leaf."""
  relative = lambda a, b: np.abs(a - b).max() / np.abs(b).max()
  return max(jax.tree.leaves(jax.tree.map(relative, ours, theirs)))


@pytest.mark.parametrize('mode', gradients.EXACT)
@pytest.mark.parametrize('name', CASES)
def test_exact_modes_against_finite_differences(name, mode):
  assert error(gradient(CASES[name], gradient=mode), slopes(name)) <= 1e-7
  assert min(np.abs(x).max() for x in jax.tree.leaves(slopes(name))) > 1e-4


@pytest.mark.parametrize('segments', [2, 3])
@pytest.mark.parametrize('name', ['injected_adamw', 'learned_loss'])
def test_in_segments_too(name, segments):
  exact = gradient(CASES[name], gradient='reverse')
  for mode in ('mixed', 'linearized'):
    ours = gradient(CASES[name], gradient=mode, segments=segments)
    assert error(ours, exact) < 1e-10


def test_the_oracle_and_each_part_alone():
  case = CASES['decay']
  both = gradient(case, gradient='reverse')
  assert error(gradient(case, gradient='finite'), both) < 1e-8
  for i, wrt in enumerate(('params', 'hyper')):
    arguments = case.loss_fn, NETWORK.params, TASK, CONFIG
    hyper = in_float64(case.hyper)
    value, grads = meta.value_and_meta_grad(*arguments, hyper=hyper, wrt=wrt)
    assert error(grads, both[i]) < 1e-12
    assert value == pytest.approx(float(meta.meta_loss(*arguments, hyper=hyper)))


def ridge():
  """Least squares with a penalty; the inner loop is run to its end."""
  rng = np.random.default_rng(0)
  x, x_query = rng.normal(size=(2, 20, 3)) / 2
  y, y_query = rng.normal(size=(2, 20))

  def loss_fn(params, hyper, batch):
    x, y, penalty = batch
    pull = penalty * jnp.exp(hyper) * jnp.sum(params**2) / 2
    return jnp.mean((x @ params - y) ** 2) / 2 + pull

  a = x.T @ x / 20 + (np.exp(-1.0) + 0.2) * np.eye(3)  # with the proximal term
  best = np.linalg.solve(a, x.T @ y / 20)
  slope = x_query.T @ (x_query @ best - y_query) / 20
  expected = -np.exp(-1.0) * slope @ np.linalg.solve(a, best)
  task = meta.Task((x, y, np.array(1.0)), (x_query, y_query, np.array(0.0)))
  return loss_fn, task, expected


@pytest.mark.parametrize('mode', [*gradients.EXACT, 'implicit', 'truncated'])
def test_ridge_in_closed_form(mode):
  loss_fn, task, expected = ridge()
  config = meta.MetaConfig(
    inner_lr=1.2,
    inner_steps=100,
    gradient=mode,
    proximal=0.2,
    truncate=60,
    cg_tol=1e-14,
  )
  grad = lambda h: meta.meta_grad(
    loss_fn, np.zeros(3), task, config, hyper=h, wrt='hyper'
  )
  assert jax.jit(grad)(-1.0) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
  'mode, name, says',
  [
    ('first', 'decay', "order='first'"),
    ('reptile', 'decay', 'reptile'),
    ('implicit', 'momentum', 'does not depend on the inner optimizer'),
    ('reptile', 'injected_adamw', 'direction in the parameters'),
  ],
)
def test_no_gradient_is_said_and_never_zero(mode, name, says):
  case = CASES[name]
  change = {'order': 'first'} if mode == 'first' else {'gradient': mode}
  config = dataclasses.replace(case.config, proximal=1.0, **change)
  hyper = in_float64(case.hyper)
  arguments = case.loss_fn, NETWORK.params, TASK, config
  for wrt in ('hyper', 'both'):
    with pytest.raises(errors.UserError, match=says):
      meta.meta_grad(*arguments, hyper=hyper, wrt=wrt)
  grads = meta.meta_grad(*arguments, hyper=hyper)  # the parameters' is not refused
  assert min(np.abs(x).max() for x in jax.tree.leaves(grads)) > 0


def test_first_order_learns_the_optimizer_through_the_updates():
  """Luketina et al, 2016: of a rate, -Σ ∇L_i · ∇L_query, gradients as constants."""
  config = meta.MetaConfig(
    inner_steps=2, order='first', rule=lambda rate: rules.sgd(rate)
  )
  grad = meta.meta_grad(plain, NETWORK.params, TASK, config, hyper=0.1, wrt='hyper')
  adapted, total = NETWORK.params, jax.tree.map(np.zeros_like, NETWORK.params)
  of = jax.grad(lambda p, batch: plain(p, None, batch))
  for _ in range(2):
    grads = of(adapted, SUPPORT)
    total = jax.tree.map(jnp.add, total, grads)
    adapted = jax.tree.map(lambda p, g: p - 0.1 * g, adapted, grads)
  pairs = jax.tree.map(jnp.vdot, total, of(adapted, QUERY))
  assert grad == pytest.approx(-float(sum(jax.tree.leaves(pairs))), rel=1e-12)


@pytest.mark.parametrize('last', [1, 3])
def test_truncated_goes_through_the_last_steps_of_batches_of_their_own(last):
  support = X[0], Y[0]
  support = jax.tree.map(
    lambda x: np.stack([x * s for s in (1, 0.9, 1.1, 1.2)]), support
  )
  task = meta.Task(support, QUERY)
  config = dataclasses.replace(
    CONFIG, gradient='truncated', truncate=last, support_per_step=True
  )
  ours = meta.meta_grad(
    decayed, NETWORK.params, task, config, hyper=CASES['decay'].hyper, wrt='hyper'
  )

  def written_out(hyper):
    adapted = NETWORK.params
    start = sum(
      decayed(adapted, hyper, (support[0][i], support[1][i])) for i in range(STEPS)
    )
    for i in range(STEPS):
      hold = jax.lax.stop_gradient if i < STEPS - last else lambda x: x
      batch = support[0][i], support[1][i]
      grads = hold(jax.grad(decayed)(adapted, hyper, batch))
      adapted = jax.tree.map(lambda p, g: p - 0.2 * g, adapted, grads)
    return 0.5 * start / STEPS + 2 * decayed(adapted, hyper, QUERY)

  expected = jax.grad(written_out)(in_float64(CASES['decay'].hyper))
  assert error(ours, expected) < 1e-10


@pytest.mark.parametrize('how', ['in_turn', 'side_by_side'])
@pytest.mark.parametrize('mode', ['mixed', 'linearized', 'reverse'])
def test_keys_and_whole_numbers_go_to_the_loss(mode, how):
  """In the hyperparameters, shared, and in the data, one for each inner step."""

  def loss_fn(params, hyper, batch):
    x, y, key = batch
    x = x * jax.random.bernoulli(key, 0.8, x.shape)
    x = x * jax.random.bernoulli(hyper['key'], 0.8, x.shape)
    rows = hyper['scale'] * jnp.tanh(x @ params['w'] + params['b']) @ params['v'] - y
    return jnp.mean(rows ** hyper['power'])

  keys = jax.random.split(jax.random.key(0), (2, STEPS))
  spread = lambda x: np.broadcast_to(x, (2, STEPS, *x.shape))
  support, query = (
    (spread(X[0]), spread(Y[0]), keys),
    (spread(X[0]), spread(Y[0]), keys),
  )
  tasks = meta.Task(support, jax.tree.map(lambda x: x[:, 0], query))
  hyper = {'key': jax.random.key(3), 'power': jnp.array(2), 'scale': jnp.array(1.3)}

  def stepped(gradient, tasks_how):
    config = dataclasses.replace(
      CONFIG, gradient=gradient, support_per_step=True, tasks=tasks_how
    )
    step = meta.make_meta_step(loss_fn, optax.sgd(0.1), config, wrt='both')
    state = meta.init_state(NETWORK.params, optax.sgd(0.1), hyper=hyper, wrt='both')
    return step(state, tasks)[0]

  ours, expected = stepped(mode, how), stepped('reverse', 'in_turn')
  assert grids.difference(ours.params, expected.params) < 1e-12
  assert ours.hyper['scale'] == pytest.approx(float(expected.hyper['scale']), abs=1e-12)
  assert abs(float(ours.hyper['scale']) - 1.3) > 1e-3
  assert ours.hyper['power'] == 2 and ours.hyper['key'] == hyper['key']
  grads = meta.meta_grad(
    loss_fn,
    NETWORK.params,
    jax.tree.map(lambda x: x[0], tasks),
    dataclasses.replace(CONFIG, gradient=mode, support_per_step=True),
    hyper=hyper,
    wrt='hyper',
  )
  assert grads['key'] is None and grads['power'] is None


def test_a_meta_step_learns_hyperparameters_alone():
  case, optimizer = CASES['reweighting'], optax.adam(0.3)
  step = meta.make_meta_step(case.loss_fn, optimizer, CONFIG, wrt='hyper')
  state = meta.init_state(NETWORK.params, optimizer, hyper=case.hyper, wrt='hyper')
  tasks = jax.tree.map(lambda x: x[None], TASK)
  losses = []
  for _ in range(20):
    state, metrics = step(state, tasks)
    losses.append(float(metrics['query_loss']))
  assert losses[-1] < losses[0] and state.step == 20
  assert grids.difference(state.params, NETWORK.params) == 0
  assert np.abs(state.hyper - case.hyper).min() > 1e-2
  other = meta.make_meta_step(case.loss_fn, optimizer, CONFIG, wrt='both')
  with pytest.raises(errors.UserError, match='of another wrt'):
    other(state, tasks)


def test_each_part_has_its_own_optimizer():
  case = CASES['decay']
  optimizer = optax.partition(
    {'params': optax.sgd(0.1), 'hyper': optax.sgd(0.01)}, ('params', 'hyper')
  )
  step = meta.make_meta_step(case.loss_fn, optimizer, CONFIG, wrt='both')
  hyper = in_float64(case.hyper)
  state = meta.init_state(NETWORK.params, optimizer, hyper=hyper, wrt='both')
  state, _ = step(state, jax.tree.map(lambda x: x[None], TASK))
  grads = gradient(case)
  for rate, new, old, grad in zip(
    (0.1, 0.01), state[:2], (NETWORK.params, hyper), grads, strict=True
  ):
    expected = jax.tree.map(lambda p, g: p - rate * g, old, grad)  # noqa: B023
    assert grids.difference(new, expected) < 1e-14


@pytest.mark.parametrize('anneal', [0, 3])
def test_aux_is_the_querys_at_the_adapted_parameters(anneal):
  def loss_fn(params, batch):
    rows = errors_of_rows(params, *batch[:2])
    return rows.mean(), {'rows': rows, 'worst': rows.max()}

  config = dataclasses.replace(CONFIG, anneal=anneal)
  arguments = NETWORK.params, TASK, config
  (value, aux), grads = meta.value_and_meta_grad(loss_fn, *arguments, has_aux=True)
  alone = lambda p, batch: loss_fn(p, batch)[0]
  expected = meta.value_and_meta_grad(alone, *arguments)
  assert grids.difference((value, grads), expected) < 1e-14
  adapted = meta.adapt(loss_fn, NETWORK.params, SUPPORT, config, has_aux=True)
  assert grids.difference(aux, loss_fn(adapted, QUERY)[1]) < 1e-14
  assert meta.meta_loss(loss_fn, *arguments, has_aux=True)[1]['worst'] == aux['worst']
  for how in ('in_turn', 'side_by_side'):
    chosen = dataclasses.replace(config, tasks=how)
    step = meta.make_meta_step(loss_fn, optax.sgd(0.0), chosen, has_aux=True)
    tasks = jax.tree.map(lambda x: np.stack([x, x]), TASK)
    _, metrics = step(meta.init_state(NETWORK.params, optax.sgd(0.0)), tasks)
    assert grids.difference(metrics['aux'], aux) < 1e-14
