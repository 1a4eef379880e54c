"""How far each way to take a meta-gradient is from the exact one, on one task.

For any `loss_fn(params, batch)`: which modes there are to compare, the gradient in each
of them, and how far apart they are: direction and length. Programs are
compiled once for a number of inner steps: the inner learning rate is an argument of
theirs. Distances are computed in float64 on the host, so that the comparison adds no
rounding to what is compared.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from metalog_jax import meta, types
from metalog_jax.meta import gradients, inner

REFERENCE = 'mixed'  # exact, and the one that keeps least
FIRST = 'first'
PULLED = 'pulled exact'
ALL = 'all'  # the whole gradient, as a part
QUERY = 'query term'  # the part of the objective that the modes differ in

Loss = Callable[[Any, Any], jax.Array]


class Distance(NamedTuple):
  """Of a from b; nan where b is zero and a is not."""

  cosine: float  # of the angle between a and b, -1..1
  difference: float  # |a - b| / |b|
  ratio: float  # |a| / |b|
  size: float  # |b|: where it is next to nothing, relative figures say little


def distance(a: Any, b: Any) -> Distance:
  """How far the pytree `a` is from `b`, another of the same structure.

  Where the cosine is near 1 and the ratio near 1, an optimizer that scales every
  entry (Adam) still sees the difference of single entries; hence all three.
  """
  jax.tree.map(lambda x, y: None, a, b)  # an error where structures differ
  flat = lambda tree: np.concatenate([np.ravel(np.float64(x)) for x in tree])
  a, b = flat(jax.tree.leaves(a)), flat(jax.tree.leaves(b))
  size, exact, gap = (float(np.linalg.norm(x)) for x in (a, b, a - b))
  if not gap:
    return Distance(1.0, 0.0, 1.0, exact)
  over = lambda x, y: x / y if y else math.nan
  cosine = over(float(a @ b), size * exact)
  return Distance(cosine, over(gap, exact), over(size, exact), exact)


def modes(config: inner.MetaConfig) -> dict[str, inner.MetaConfig]:
  """The modes to compare, by name, all for the inner loop of `config`.

  The implicit mode needs a pull λ of the inner steps to their start. Where the
  objective has none, it gets λ = 1 / (K α): then (I + H / λ)⁻¹ is I - K α H to the
  first order in H, as the Jacobian of K unpulled steps is. That pull also moves
  the parameters it ends at: `PULLED`, the exact gradient with the same λ, tells how
  much of its distance comes from there alone.
  """
  mode = lambda name, **changes: dataclasses.replace(
    config, order='second', gradient=name, **changes
  )
  pull = config.proximal or 1 / max(config.inner_steps * config.inner_lr, 1e-12)
  truncated = {
    f'truncated {k}': mode('truncated', truncate=k)
    for k in range(1, config.inner_steps)
  }
  return {
    **{name: mode(name) for name in gradients.EXACT},
    FIRST: dataclasses.replace(config, order='first', gradient=REFERENCE),
    **truncated,
    **({} if config.proximal else {PULLED: mode(REFERENCE, proximal=pull)}),
    'implicit': mode('implicit', proximal=pull),
    'reptile': mode('reptile'),
  }


def make_measure(loss_fn: Loss) -> Callable[..., dict[str, dict[str, Distance]]]:
  """Makes the function that measures how far modes are from the exact gradient.

  Args:
    loss_fn: (params, batch) -> scalar.

  Returns:
    measure(params, task, config, names) -> mode -> part -> distance from the exact
    gradient of `config`'s objective. Parts are `ALL` and `QUERY`: all of the gradient
    less that of the support's loss, which every mode takes exactly. `names` are keys
    of `modes`.
  """

  @functools.partial(jax.jit, static_argnames='config')
  def take(params, task, inner_lr, config):
    config = dataclasses.replace(config, inner_lr=inner_lr)
    objective = lambda params: meta.meta_loss(loss_fn, params, task, config)
    return jax.grad(objective)(params)

  @functools.partial(jax.jit, static_argnames='config')
  def take_support(params, support, config):
    loss = inner.support_loss(loss_fn, config, REFERENCE)
    return jax.grad(lambda p: config.support_weight * loss(p, support))(params)

  # Configs are static, so the rate is taken out of them: another one compiles nothing.
  any_rate = lambda config: dataclasses.replace(config, inner_lr=0.0)

  def measure(
    params: Any, task: types.Task, config: inner.MetaConfig, names: Iterable[str]
  ) -> dict[str, dict[str, Distance]]:
    configs = modes(config)
    gradient = lambda mode: jax.device_get(
      take(params, task, configs[mode].inner_lr, any_rate(configs[mode]))
    )
    exact = gradient(REFERENCE)
    support = jax.device_get(take_support(params, task.support, any_rate(config)))
    return {name: _parts(gradient(name), exact, support) for name in names}

  return measure


def _parts(grads: Any, exact: Any, support: Any) -> dict[str, Distance]:
  query = lambda g: jax.tree.map(lambda x, s: x - s, g, support)
  return {ALL: distance(grads, exact), QUERY: distance(query(grads), query(exact))}
