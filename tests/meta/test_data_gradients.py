"""Derivatives of the meta-loss in the task's data and in what the loss closes over.

Learning to reweight, poisoning and distillation take them: exact, or refused.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalog_jax import errors, meta
from metalog_jax.meta import gradients, rules
from metalog_jax.nets import losses, metalog
from tests import grids
from tests.meta import problems

STEPS = 3
PROBLEM = problems.regression(STEPS)
SHARED = meta.MetaConfig(
  inner_lr=0.2, inner_steps=STEPS, support_weight=0.5, query_weight=2.0, proximal=0.3
)
SPLIT = dataclasses.replace(SHARED, support_per_step=True)


def weighted(params, batch, decay=0.0):
  """A loss of rows with weights and of a whole number, which has no derivative."""
  x, y, weights, power = batch
  rows = jnp.tanh(x @ params['w'] + params['b']) @ params['v'] - y
  pull = sum(jnp.sum(p**2) for p in jax.tree.leaves(params))
  return jnp.sum(weights * jnp.sum(rows**power, -1)) + decay * pull


def task_of(leads=(), dtype=float):
  """A support of `leads` batches of five rows, and a query."""
  rng = np.random.default_rng(1)

  def batch(*lead):
    reals = rng.normal(size=(*lead, 5, 3)), rng.normal(size=(*lead, 5, 2))
    x, y, weights = (a.astype(dtype) for a in (*reals, rng.random((*lead, 5)) / 5))
    return x, y, weights, np.full(lead, 2)

  return meta.Task(batch(*leads), batch())


def in_data(config, task, loss_fn=weighted, params=None):
  """The meta-loss's derivative in all real numbers of the task, and in a constant."""
  params = PROBLEM.params if params is None else params
  real = lambda part: part[:3]
  put = lambda part, leaves: (*leaves, part[3])

  def f(leaves, decay):
    mixed = meta.Task(put(task.support, leaves[0]), put(task.query, leaves[1]))
    closed = lambda p, b: loss_fn(p, b, decay)
    return meta.meta_loss(closed, params, mixed, config)

  leaves = real(task.support), real(task.query)
  return f, (leaves, jnp.asarray(0.1, task.support[0].dtype))


def with_mode(config, mode, **change):
  named = {'order': 'first'} if mode == 'first' else {'gradient': mode}
  return dataclasses.replace(config, **named, **change)


def gradient(config, task, params=None):
  f, arguments = in_data(config, task, params=params)
  return jax.jit(jax.grad(f, argnums=(0, 1)))(*arguments)


@pytest.mark.parametrize('mode', [*gradients.EXACT, 'auto'])
@pytest.mark.parametrize('config', [SHARED, SPLIT], ids=['shared', 'split'])
def test_exact_modes_are_exact_in_the_data_and_in_closures(config, mode):
  task = task_of((STEPS,) if config.support_per_step else ())
  exact = gradient(with_mode(config, 'reverse'), task)
  assert min(np.abs(x).max() for x in jax.tree.leaves(exact)) > 1e-3
  assert grids.difference(gradient(with_mode(config, mode), task), exact) < 1e-10
  if mode == 'reverse':
    f, arguments = in_data(config, task)
    flat, unravel = jax.flatten_util.ravel_pytree(arguments)
    slopes = problems.central_differences(
      lambda x: f(*x), arguments, np.eye(flat.size), step=1e-3
    )
    assert grids.difference(exact, unravel(slopes)) < 1e-7


@pytest.mark.parametrize('mode', ['remat', 'linearized', 'mixed'])
def test_in_single_precision(mode):
  with jax.enable_x64(False):
    params = jax.tree.map(lambda x: x.astype(np.float32), PROBLEM.params)
    task = task_of(dtype=np.float32)
    exact, ours = (
      gradient(with_mode(SHARED, m), task, params) for m in ('reverse', mode)
    )
  assert grids.difference(ours, exact) < 1e-6


def test_the_gradient_in_event_vectors():
  """Through the recurrence's own derivatives: which vectors would move a detector."""
  network = metalog.Network(hidden=3, layers=1)
  problem = problems.logs(network, steps=2, dim=3, lengths=(3, 2, 1), rows=4)

  def loss_fn(params, batch):
    logits = network.apply({'params': params}, batch)
    return losses.cross_entropy(logits, batch.labels, batch.weights)

  def at(gradient):
    config = dataclasses.replace(problems.METALOG, gradient=gradient)

    def f(vectors):
      support = problem.task.support._replace(vectors=vectors)
      task = problem.task._replace(support=support)
      return meta.meta_loss(loss_fn, problem.params, task, config)

    return jax.jit(jax.grad(f))(problem.task.support.vectors)

  assert np.abs(at('reverse')).max() > 1e-3
  assert grids.difference(at('mixed'), at('reverse')) < 1e-10


@pytest.mark.parametrize('mode', ['mixed', 'linearized'])
def test_the_hessian_of_the_meta_loss(mode):
  """Forward and reverse over the meta-gradient; the support's term is eager."""
  task = task_of((STEPS,))

  def hessian(config, over):
    grad = lambda p: meta.meta_grad(weighted, p, task, config)
    pairs = lambda p: sum(map(jnp.vdot, *map(jax.tree.leaves, (grad(p), p))))
    if over == 'reverse':
      return jax.jit(jax.grad(pairs))(PROBLEM.params)
    return jax.jit(lambda p: jax.jvp(grad, (p,), (p,))[1])(PROBLEM.params)

  for over in ('forward', 'reverse'):
    exact = hessian(with_mode(SPLIT, 'reverse'), over)
    assert grids.difference(hessian(with_mode(SPLIT, mode), over), exact) < 1e-10


def written_out(config, task, exact_from):
  """The derivative with all that belongs to earlier steps held constant."""

  def f(leaves, decay):
    support, query = ((*x, 2) for x in leaves)
    loss = lambda p, b, decay: weighted(p, b, decay)
    adapted = PROBLEM.params
    for i in range(STEPS):
      hold = jax.lax.stop_gradient if i < exact_from else lambda x: x
      grads = hold(jax.grad(loss)(adapted, support, decay))
      step = lambda p, g, a: p - 0.2 * (g + 0.3 * (p - a))
      adapted = jax.tree.map(step, adapted, grads, PROBLEM.params)
    start = config.support_weight * loss(PROBLEM.params, support, decay)
    return start + config.query_weight * loss(adapted, query, decay)

  return jax.grad(f, argnums=(0, 1))(*in_data(config, task)[1])


@pytest.mark.parametrize('last', [1, STEPS])
def test_truncated_goes_through_the_last_steps(last):
  """Proximal pulls of early steps are constants too, at parameters that have none."""
  config, task = with_mode(SHARED, 'truncated', truncate=last), task_of()
  expected = written_out(config, task, STEPS - last)
  ours = gradient(config, task)
  if last == STEPS:
    assert grids.difference(ours, expected) < 1e-12
  assert grids.difference(ours[0][1], expected[0][1]) < 1e-12
  assert np.abs(ours[0][0][2] - expected[0][0][2]).max() < 1e-12


def test_implicit_is_exact_in_the_data_once_the_inner_problem_is_solved():
  rng = np.random.default_rng(1)
  params, (c, d) = rng.normal(size=4), rng.normal(size=(2, 4))
  root = rng.normal(size=(4, 4)) / 2

  def loss_fn(p, batch):
    return jnp.sum(jnp.logaddexp(0, root @ (p - batch))) + jnp.sum((p - batch) ** 2)

  def at(mode):
    config = with_mode(SHARED, mode, inner_steps=300, cg_tol=1e-12)
    f = lambda c: meta.meta_loss(loss_fn, params, meta.Task(c, d), config)
    return jax.jit(jax.grad(f))(c)

  assert np.abs(at('reverse')).max() > 1e-2
  assert grids.difference(at('implicit'), at('reverse')) < 1e-9


@pytest.mark.parametrize(
  'mode, change',
  [
    ('first', {}),
    ('reptile', {}),
    ('truncated', {'truncate': 0}),
    ('truncated', {'support_per_step': True, 'truncate': 2}),
    ('finite', {}),
  ],
)
def test_what_has_no_derivative_in_the_support_says_so(mode, change):
  config = with_mode(SHARED, mode, **change)
  task = task_of((STEPS,) if config.support_per_step else ())
  f, arguments = in_data(config, task)
  name = "order='first'" if mode == 'first' else f"gradient='{mode}'"
  # What the loss closes over goes through the last steps of 'truncated', if any.
  through_last = mode == 'truncated' and config.truncate
  for argnums in (0,) if through_last else (0, 1):
    with pytest.raises(errors.UserError, match=name):
      jax.jit(jax.grad(f, argnums=argnums))(*arguments)
  if mode != 'finite':  # the query's own data have one, and so have the parameters

    def of_query(x):
      query = (x, *task.query[1:])
      loss = lambda params, batch: weighted(params, batch)
      return meta.meta_loss(loss, PROBLEM.params, task._replace(query=query), config)

    assert np.abs(jax.grad(of_query)(task.query[0])).max() > 1e-3
  grads = meta.meta_grad(weighted, PROBLEM.params, task, config)
  assert all(np.abs(g).max() > 0 for g in jax.tree.leaves(grads))


def test_nothing_is_computed_for_data_unless_it_is_asked_for():
  """Of the backward pass of an inner step, by the products in the traced program."""
  task = task_of()

  def products(f, *args):
    return str(jax.make_jaxpr(f)(*args)).count('dot_general')

  config = with_mode(SHARED, 'mixed')
  of_params = lambda p: meta.meta_grad(weighted, p, task, config)
  alone = products(of_params, PROBLEM.params)

  def of_both(p, x):
    support = (x, *task.support[1:])
    changed = task._replace(support=support)
    f = lambda p, x: meta.meta_loss(weighted, p, changed, config)
    return jax.grad(f, argnums=0)(p, x)

  assert products(of_both, PROBLEM.params, task.support[0]) == alone
  f, arguments = in_data(config, task)
  assert products(jax.grad(f), *arguments) > alone


def test_parts_that_are_not_adapted_and_their_data():
  """A cotangent of a part that no step moves is zero by structure (ANIL)."""
  rule = rules.only(rules.sgd(0.2), ('v',))
  both = [gradient(with_mode(SHARED, m, rule=rule, proximal=0.0), task_of())
          for m in ('mixed', 'reverse')]  # fmt: skip
  assert grids.difference(*both) < 1e-10
