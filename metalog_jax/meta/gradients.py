"""Modes of the meta-gradient: how an inner gradient is differentiated again.

| mode         | meta-gradient                        | memory for every inner step    |
|--------------|--------------------------------------|--------------------------------|
| `reverse`    | exact                                | its whole backward pass        |
| `remat`      | exact, recomputes                    | its parameters                 |
| `mixed`      | exact, recomputes                    | its parameters                 |
| `linearized` | exact                                | its linearized backward pass   |
| `truncated`  | exact through the last steps         | their parameters               |
| `implicit`   | exact at the inner problem's optimum | nothing                        |
| `reptile`    | Reptile's direction, no gradient     | nothing                        |
| `finite`     | the oracle, 4 P values of the loss   | nothing                        |
| `auto`       | exact: what `choose` says            |                                |

First order (`order='first'`) takes the inner gradients as constants.

Hyperparameters, the support's data and whatever the loss closes over have derivatives
too: exact in the exact modes; through the last inner steps with 'truncated' (Shaban et
al, Truncated Back-propagation for Bilevel Optimization, AISTATS 2019); at the optimum
with 'implicit'. Where there is none (first order, 'reptile', of data 'finite'), asking
for it is a UserError. Hyperparameters of the inner rule have theirs in first order too,
through the updates alone. Unless it is asked for, nothing is computed for it.

In the exact modes an inner loop can be cut into segments (`MetaConfig.segments`): K
steps then keep about 2 √K of what stands in the table, and compute one pass more.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from metalog_jax import types
from metalog_jax.meta import derivatives

Loss = Callable[[Any, Any], jax.Array]  # (params, batch) -> scalar
Derivative = Callable[[Any, Any], Any]  # (params, batch) -> shaped like params
Order = types.Order
Gradient = Literal[types.Gradient, 'finite']
EXACT = ('reverse', 'remat', 'mixed', 'linearized')
PLAIN = ('reverse', 'remat', 'finite')  # no custom rules: derivatives of any order
KEEP = 2**22  # bytes that several inner steps may keep: about what caches hold


def mixed(loss_fn: Loss) -> Derivative:
  """Forward over reverse: exact too, and keeps only the parameters of each step.

  A Hessian is symmetric, so the backward pass vᵀ∇²L equals ∇²L v, one forward-mode
  derivative of the gradient. In the data D it is vᵀ∂_D∇L = ∂/∂ε ∇_D L(θ + ε v), of
  the same kind. The rule's parts are plain functions: higher derivatives follow.

  References:
    Kemaev et al, Scalable Meta-Learning via Mixed-Mode Differentiation, ICML 2025.
  """

  def forward(loss_fn, params, data, in_data):
    def pullback(params, data, v):
      return jax.jvp(joint(loss_fn, data, in_data), (params,), (v,))[1]

    grads = jax.grad(loss_fn)(params, data)
    return grads, jax.tree_util.Partial(pullback, params, data)

  return _with_rule(loss_fn, forward)


def linearized(loss_fn: Loss) -> Derivative:
  """As `mixed`, but keeps the linearization from the forward pass: no recomputation."""

  def forward(loss_fn, params, data, in_data):
    (grads, _), product = jax.linearize(joint(loss_fn, data, in_data), params)
    return grads, product

  return _with_rule(loss_fn, forward)


def constant(loss_fn: Loss, refusal: str = '', captured: bool = True) -> Derivative:
  """The gradient as a constant; with a refusal, of those who ask for it in the data.

  Args:
    captured: whether the refusal is of what the loss closes over, too.
  """

  def grad(params, batch):
    loss, data = derivatives.explicit(loss_fn, params, batch)
    if refusal and captured:
      data = derivatives.refuse(data, refusal)
    elif refusal:
      data = derivatives.refuse(data[0], refusal), *data[1:]
    return jax.grad(loss)(*jax.lax.stop_gradient((params, data)))

  return grad


def inner_gradient(loss_fn: Loss, gradient: Gradient) -> Derivative:
  """The gradient of an inner step: (params, batch) -> grads, shaped like params."""
  modes = {'mixed': mixed, 'truncated': mixed, 'linearized': linearized}
  return modes.get(gradient, jax.grad)(loss_fn)


def _with_rule(loss_fn: Loss, forward: Callable) -> Derivative:
  """The gradient of the loss, whose derivative is `forward`'s; see `derivatives`."""

  def grad(params, batch):
    loss, data = derivatives.explicit(loss_fn, params, batch)
    rule = lambda *args: forward(loss, *args)
    return derivatives.with_rule(jax.grad(loss), rule)(params, data)

  return grad


def joint(loss_fn: Loss, data: Any, in_data: bool) -> Callable[[Any], tuple]:
  """θ -> (∇_θ L, ∇_data L), the latter None unless `in_data`."""
  if not in_data:
    return lambda params: (jax.grad(loss_fn)(params, data), None)
  real, merge = derivatives.split(data)
  loss = lambda params, real: loss_fn(params, merge(real))
  return lambda params: jax.grad(loss, argnums=(0, 1))(params, real)


def kept_bytes(loss_fn: Loss, params: Any, batch: Any) -> int:
  """What the linearized gradient of one inner step keeps. Compiles nothing.

  Args:
    params, batch: arrays or their shapes.
  """
  keep = lambda p, b: jax.linearize(lambda p: jax.grad(loss_fn)(p, b), p)[1]
  return total_bytes(jax.eval_shape(keep, params, batch))


def total_bytes(tree: Any) -> int:
  """Of the arrays of a pytree, or of their shapes."""
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def are_in_turn() -> bool:
  """Whether like work goes one after another here, rather than side by side (`vmap`).

  A processor is no quicker with many products at once, and one at a time leaves its
  temporaries in the caches.
  """
  return jax.default_backend() == 'cpu'


def mean_loss(loss_fn: Loss, gradient: Gradient) -> Loss:
  """The mean loss over stacked batches: (params, batches [K, ...]) -> scalar.

  All but the plain modes take the gradient in the forward pass, so that nothing else
  outlives it.
  """
  if gradient in PLAIN:
    return lambda params, batches: _mean(loss_fn, (None, 0), params, batches)

  def eager(params, batches):
    one = jax.tree.map(lambda x: x[0], batches)
    loss, (_, captured) = derivatives.explicit(loss_fn, params, one)
    mean = functools.partial(_mean, loss, (None, (0, None)))

    def forward(params, data, in_data):
      if in_data:
        real, merge = derivatives.split(data)
        return jax.vjp(lambda params, real: mean(params, merge(real)), params, real)
      grad = _in_turn(loss) if are_in_turn() else jax.value_and_grad(mean)
      value, grads = grad(params, data)
      scaled = lambda grads, v: (jax.tree.map(lambda g: g * v, grads), None)
      return value, jax.tree_util.Partial(scaled, grads)

    return derivatives.with_rule(mean, forward)(params, (batches, captured))

  return eager


def _mean(loss_fn: Loss, in_axes: Any, params: Any, batches: Any) -> jax.Array:
  return jax.vmap(loss_fn, in_axes=in_axes)(params, batches).mean()


def _in_turn(loss_fn: Loss) -> Callable[[Any, Any], tuple[jax.Array, Any]]:
  """(the mean over batches, its gradient), with the memory of one batch."""

  def mean(params, data):
    batches, captured = data

    def add(total, batch):
      value, grads = jax.value_and_grad(loss_fn)(params, (batch, captured))
      return jax.tree.map(jnp.add, total, grads), value

    start = jax.tree.map(jnp.zeros_like, params)
    total, values = jax.lax.scan(add, start, batches)
    return values.mean(), jax.tree.map(lambda x: x / len(values), total)

  return mean
