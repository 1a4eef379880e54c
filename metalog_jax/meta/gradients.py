"""Ways to take the meta-gradient: how an inner gradient is differentiated again.

| way          | meta-gradient                        | kept of every inner step       |
|--------------|--------------------------------------|--------------------------------|
| `reverse`    | exact                                | its whole backward pass        |
| `remat`      | exact, recomputes                    | its parameters                 |
| `mixed`      | exact, recomputes                    | its parameters                 |
| `linearized` | exact                                | its linearized backward pass   |
| `truncated`  | exact through the last steps         | their parameters               |
| `implicit`   | exact at the inner problem's optimum | nothing                        |
| `reptile`    | a direction of its own               | nothing                        |
| `finite`     | the oracle, 4 P values of the loss   | nothing                        |
| `auto`       | exact: what `choose` says            |                                |

First order (`order='first'`) takes the inner gradients for constants.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

Order = Literal['second', 'first']
Gradient = Literal[
  'auto',
  'reverse',
  'mixed',
  'linearized',
  'remat',
  'truncated',
  'implicit',
  'reptile',
  'finite',
]
EXACT = ('reverse', 'remat', 'mixed', 'linearized')
PLAIN = ('reverse', 'remat', 'finite')  # no custom rules: derivatives of any order
KEEP = 2**22  # bytes that several inner steps may keep: about what caches hold


def reverse(loss_fn: Callable) -> Callable:
  """Reverse over reverse: plain `jax.grad`, which keeps the whole inner backward."""
  return jax.grad(loss_fn)


def mixed(loss_fn: Callable) -> Callable:
  """Forward over reverse: exact too, and keeps only the parameters of each step.

  A Hessian is symmetric, so the backward pass vᵀ∇²L equals ∇²L v, one
  forward-mode derivative of the gradient. The batch is data: no derivative
  flows into it.

  References:
    Kemaev et al, Scalable Meta-Learning via Mixed-Mode Differentiation, ICML 2025.
  """

  @jax.custom_vjp
  def grad(params, batch):
    return jax.grad(loss_fn)(params, batch)

  def forward(params, batch):
    return grad(params, batch), (params, batch)

  def backward(saved, v):
    params, batch = saved
    at_batch = lambda p: jax.grad(loss_fn)(p, batch)
    return jax.jvp(at_batch, (params,), (v,))[1], None

  grad.defvjp(forward, backward)
  return grad


def linearized(loss_fn: Callable) -> Callable:
  """As `mixed`, but keeps the linearization from the way forward: no recomputation."""

  @jax.custom_vjp
  def grad(params, batch):
    return jax.grad(loss_fn)(params, batch)

  def forward(params, batch):
    return jax.linearize(lambda p: jax.grad(loss_fn)(p, batch), params)

  grad.defvjp(forward, lambda product, v: (product(v), None))
  return grad


def inner_gradient(
  loss_fn: Callable[[Any, Any], jax.Array], gradient: Gradient
) -> Callable[[Any, Any], Any]:
  """The gradient of an inner step: (params, batch) -> grads, shaped like params."""
  ways = {'mixed': mixed, 'truncated': mixed, 'linearized': linearized}
  return ways.get(gradient, reverse)(loss_fn)


def choose(
  loss_fn: Callable[[Any, Any], jax.Array],
  params: Any,
  batch: Any,
  steps: int,
  tasks: int = 1,
) -> tuple[Gradient, str]:
  """Picks an exact way, by what the inner steps would keep: (way, why).

  Keeping is quicker than computing again only while it stays near the processor, or
  where one step keeps for itself alone: on two CPU cores, five inner steps of a GRU of
  100 units took 407 ms linearized and 390 ms mixed. (Accelerators were not measured.)
  Traces the loss and compiles nothing.

  Args:
    loss_fn: (params, batch) -> scalar.
    params: arrays or their shapes.
    batch: of one inner step, arrays or their shapes.
    steps: K, the inner steps.
    tasks: T, how many tasks are taken side by side.
  """
  if not steps:
    return 'reverse', 'there are no inner steps'
  keep = lambda p, b: jax.linearize(lambda p: jax.grad(loss_fn)(p, b), p)[1]
  leaves = jax.tree.leaves(jax.eval_shape(keep, params, batch))
  size = steps * tasks * sum(x.size * x.dtype.itemsize for x in leaves)
  kept = f'{size / 2**20:.1f} MiB to keep of {steps} inner steps, {tasks} tasks'
  if steps == 1 or size <= KEEP:
    return 'linearized', f'{kept}: quicker than computing again'
  return 'mixed', f'{kept}: quicker to compute again'


def are_in_turn() -> bool:
  """Whether like work goes one after another here, rather than side by side (`vmap`).

  A processor is no quicker with many products at once, and one at a time leaves its
  temporaries in the caches.
  """
  return jax.default_backend() == 'cpu'


def mean_loss(loss_fn: Callable, gradient: Gradient) -> Callable[[Any, Any], jax.Array]:
  """The mean loss over stacked batches: (params, batches [K, ...]) -> scalar.

  All but the plain ways take the gradient on the way forward, so that nothing else
  outlives it; then no second derivative can be asked of it.
  """

  def mean(params, batches):
    return jax.vmap(loss_fn, in_axes=(None, 0))(params, batches).mean()

  def in_turn(params, batches):
    """(the mean, its gradient), with the memory of one batch."""

    def add(total, batch):
      value, grads = jax.value_and_grad(loss_fn)(params, batch)
      return jax.tree.map(jnp.add, total, grads), value

    start = jax.tree.map(jnp.zeros_like, params)
    total, values = jax.lax.scan(add, start, batches)
    return values.mean(), jax.tree.map(lambda x: x / len(values), total)

  if gradient in PLAIN:
    return mean
  eager = jax.custom_vjp(mean)
  eager.defvjp(
    in_turn if are_in_turn() else jax.value_and_grad(mean),
    lambda grads, v: (jax.tree.map(lambda g: g * v, grads), None),
  )
  return eager
