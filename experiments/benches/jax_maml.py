"""MAML's meta-step in JAX: by this library, by hand, and as optax's example has it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benches import jax_gru, meta_gradients, variants
from experiments.benches.variants import Runner, Variant
from metalog_jax import meta


def loss_fn(params: Any, batch: Any) -> jax.Array:
  """Of regression (rectified units), or of five classes (tanh)."""
  x, y = batch
  layers = [params[f'l{i}'] for i in range(len(params))]
  activate = jnp.tanh if y.ndim == 1 else jax.nn.relu
  for layer in layers[:-1]:
    x = activate(x @ layer['w'] + layer['b'])
  out = x @ layers[-1]['w'] + layers[-1]['b']
  if y.ndim == 1:
    return optax.softmax_cross_entropy_with_integer_labels(out, y).mean()
  return jnp.mean((out - y) ** 2)


def ours(optimizer: Any, rate: float, steps: int, tasks: str, order: str) -> Callable:
  """A step by this library."""
  config = meta.MetaConfig(inner_lr=rate, inner_steps=steps, tasks=tasks, order=order)
  return meta.make_meta_step(loss_fn, optimizer, config)


def by_hand(optimizer: Any, rate: float, steps: int) -> Callable:
  """A step of grad, scan and vmap alone."""

  def objective(params, task):
    def inner(adapted, _):
      grads = jax.grad(loss_fn)(adapted, task.support)
      return jax.tree.map(lambda p, g: p - rate * g, adapted, grads), None

    adapted, _ = jax.lax.scan(inner, params, length=steps)
    return loss_fn(adapted, task.query)

  @jax.jit
  def step(state, tasks):
    mean = lambda params: jax.vmap(objective, (None, 0))(params, tasks).mean()
    loss, grads = jax.value_and_grad(mean)(state.params)
    updates, optimizer_state = optimizer.update(grads, state.optimizer)
    params = optax.apply_updates(state.params, updates)
    return meta.State(params, optimizer_state, state.step + 1), loss

  return step


def optax_style(optimizer: Any, rate: float, steps: int) -> Callable:
  """A step whose inner loop is of Python, with an optimizer of optax."""
  inner_optimizer = optax.sgd(rate)

  def objective(params, task):
    state = inner_optimizer.init(params)
    for _ in range(steps):
      grads = jax.grad(loss_fn)(params, task.support)
      updates, state = inner_optimizer.update(grads, state, params)
      params = optax.apply_updates(params, updates)
    return loss_fn(params, task.query)

  @jax.jit
  def step(state, tasks):
    mean = lambda params: jax.vmap(objective, (None, 0))(params, tasks).mean()
    loss, grads = jax.value_and_grad(mean)(state.params)
    updates, optimizer_state = optimizer.update(grads, state.optimizer)
    params = optax.apply_updates(state.params, updates)
    return meta.State(params, optimizer_state, state.step + 1), loss

  return step


WRITTEN = {  # what a user writes
  'ours': ours,
  'jax by hand': by_hand,
  "jax in the style of optax's example": optax_style,
}


def meta_step(workload: meta_gradients.Workload, variant: Variant) -> Runner:
  """One meta-step on all tasks, Adam included."""
  if variant.how == 'reference':
    return _reference(workload, variant.order)
  arguments = optax.adam(2e-3), meta_gradients.RATE[workload.data], workload.steps
  if variant.how == 'by hand':
    step = by_hand(*arguments)
  elif variant.how == 'optax':
    step = optax_style(*arguments)
  else:
    tasks = 'side_by_side' if 'side' in variant.how else 'auto'
    step = ours(*arguments, tasks, variant.order)
  params = variants.nest(meta_gradients.first_weights(workload))
  state = meta.init_state(params, arguments[0])
  tasks = jax.device_put(meta.Task(*meta_gradients.draw(workload)))
  return jax_gru.runner(step, state, [tasks])


def _reference(workload: meta_gradients.Workload, order: str) -> Runner:
  """The gradient in float64, by autodiff of the plain loop."""
  answer: dict[str, np.ndarray] = {}
  rate = meta_gradients.RATE[workload.data]
  hold = jax.lax.stop_gradient if order == 'first' else lambda x: x

  def objective(params, task):
    def inner(adapted, _):
      grads = hold(jax.grad(loss_fn)(adapted, task.support))
      return jax.tree.map(lambda p, g: p - rate * g, adapted, grads), None

    adapted = jax.lax.scan(inner, params, length=workload.steps)[0]
    return loss_fn(adapted, task.query)

  def run(_: int) -> None:
    with jax.enable_x64(True):
      double = lambda x: np.float64(x) if x.dtype == np.float32 else x
      drawn = meta.Task(*meta_gradients.draw(workload))
      params = variants.nest(meta_gradients.first_weights(workload))
      params, tasks = jax.tree.map(double, (params, drawn))
      mean = lambda p: jax.vmap(objective, (None, 0))(p, tasks).mean()
      answer.update(variants.flatten(jax.jit(jax.grad(mean))(params)))

  return Runner(run, lambda: answer)
