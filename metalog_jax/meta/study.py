"""Each way to take a meta-gradient beside the exact one, on one task.

For any `loss_fn(params, batch)`: which ways there are to compare, the gradient in
each of them, and how far apart they are. Programs are compiled once for a number of
inner steps: the inner learning rate is an argument of theirs.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax

from metalog_jax import types
from metalog_jax.meta import compare, gradients, inner, outer

REFERENCE = 'mixed'  # exact, and the one that keeps least
FIRST = 'first'
PULLED = 'pulled exact'
QUERY = 'query term'  # the part of the objective that the ways differ in
LEAVES = 99  # keys from the root: more than any pytree of parameters has

Take = Callable[[Any, types.Task, inner.MetaConfig], Any]


def variants(config: inner.MetaConfig) -> dict[str, inner.MetaConfig]:
  """The ways to compare, by name, all for the inner loop of `config`.

  The implicit way needs a pull λ of the inner steps to their start. Where the
  objective has none, it gets λ = 1 / (K α): then (I + H / λ)⁻¹ is I - K α H to the
  first order in H, as the Jacobian of K unpulled steps is. That pull also moves
  the parameters it ends at: `PULLED`, the exact gradient with the same λ, tells how
  much of its distance comes from there alone.
  """
  way = lambda name, **more: dataclasses.replace(
    config, order='second', gradient=name, **more
  )
  pull = config.proximal or 1 / max(config.inner_steps * config.inner_lr, 1e-12)
  return {
    **{name: way(name) for name in gradients.EXACT},
    FIRST: dataclasses.replace(config, order='first', gradient=REFERENCE),
    **{
      f'truncated {k}': way('truncated', truncate=k)
      for k in range(1, config.inner_steps)
    },
    **({} if config.proximal else {PULLED: way(REFERENCE, proximal=pull)}),
    'implicit': way('implicit', proximal=pull),
    'reptile': way('reptile'),
  }


def taker(loss_fn: Callable[[Any, Any], jax.Array]) -> Take:
  """Makes take(params, task, config) -> meta-gradient, compiled where it is new."""

  @functools.partial(jax.jit, static_argnames='config')
  def take(params, task, inner_lr, config):
    config = dataclasses.replace(config, inner_lr=inner_lr)
    return outer.meta_grad(loss_fn, params, task, config)[1]

  return lambda params, task, config: take(
    params, task, config.inner_lr, dataclasses.replace(config, inner_lr=0.0)
  )


def support_taker(loss_fn: Callable[[Any, Any], jax.Array]) -> Take:
  """As `taker`, of the objective's first term alone, which is exact in every way."""

  @functools.partial(jax.jit, static_argnames='config')
  def take(params, support, config):
    loss = inner.support_loss(loss_fn, config, REFERENCE)
    return jax.grad(lambda p: config.support_weight * loss(p, support))(params)

  return lambda params, task, config: take(
    params, task.support, dataclasses.replace(config, inner_lr=0.0)
  )


def apart(
  loss_fn: Callable[[Any, Any], jax.Array],
) -> Callable[..., dict[str, dict[str, compare.Distance]]]:
  """Makes what measures how far every way is from the exact one.

  Args:
    loss_fn: (params, batch) -> scalar.

  Returns:
    measure(params, task, config, names, tick) -> way -> part -> distance from the
    exact gradient of `config`'s objective. Parts are `compare.ALL`, the
    entries at the top of `params`, its leaves, and `QUERY`: all of the gradient less
    that of the support's loss. `names` are keys of `variants`; `tick()` is called
    after each of them.
  """
  take, take_support = taker(loss_fn), support_taker(loss_fn)

  def measure(
    params: Any,
    task: types.Task,
    config: inner.MetaConfig,
    names: Iterable[str],
    tick: Callable[[], Any] = lambda: None,
  ) -> dict[str, dict[str, compare.Distance]]:
    ways = variants(config)
    exact = take(params, task, ways[REFERENCE])
    support = take_support(params, task, config)
    found = {}
    for name in names:
      grads = take(params, task, ways[name])
      found[name] = _by_part(grads, exact, support)
      tick()
    return found

  return measure


def _by_part(grads, exact, support) -> dict[str, compare.Distance]:
  grads, exact, support = jax.device_get((grads, exact, support))
  less = lambda g: jax.tree.map(lambda x, s: x - s, g, support)
  parts = {compare.ALL: compare.distance(grads, exact)}
  parts[QUERY] = compare.distance(less(grads), less(exact))
  for depth in (1, LEAVES):
    parts |= compare.by_part(grads, exact, depth)
  return parts
