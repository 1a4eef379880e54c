"""Data and closures as explicit arguments of custom derivative rules.

A custom rule of jax covers explicit arguments alone. So whatever a loss closes over is
turned into an argument first. And a rule learns whether a derivative in the data is
asked for (symbolic zeros): where it is not, nothing is computed for it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.interpreters import ad

from metalog_jax import errors

Function = Callable[[Any, Any], Any]


def is_real(leaf: Any) -> bool:
  """Whether a leaf has derivatives: no integer, key or the like."""
  return jnp.issubdtype(getattr(leaf, 'dtype', type(leaf)), jnp.inexact)


def split(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
  """The part of a pytree that has derivatives, and what puts it back.

  Returns:
    The tree with None in place of integers, keys and the like; and merge(real) ->
    the whole tree, for others of that form.
  """
  real = jax.tree.map(lambda x: x if is_real(x) else None, tree)

  def merge(real: Any) -> Any:
    pick = lambda r, x: x if r is None else r
    return jax.tree.map(pick, real, tree, is_leaf=lambda r: r is None)

  return real, merge


def explicit(function: Function, params: Any, data: Any) -> tuple[Function, Any]:
  """Turns what a function closes over into an argument.

  Args:
    function: (params, data) -> anything.
    params, data: what it is to be called with.

  Returns:
    f and `given` with f(params, given) = function(params, data), where f closes over
    nothing that is traced.
  """
  # Not `jax.closure_convert`, which leaves traced integers and keys where they are.
  jaxpr, shape = jax.make_jaxpr(function, return_shape=True)(params, data)
  hoisted = [isinstance(x, jax.core.Tracer) for x in jaxpr.consts]
  if not any(hoisted):  # the function as it is, and so the same program
    return lambda params, given: function(params, given[0]), (data, ())
  captured = [x for x, yes in zip(jaxpr.consts, hoisted, strict=True) if yes]

  def converted(params, given):
    data, captured = given[0], iter(given[1])
    pairs = zip(jaxpr.consts, hoisted, strict=True)
    consts = [next(captured) if yes else x for x, yes in pairs]
    call = core.jaxpr_as_fun(core.ClosedJaxpr(jaxpr.jaxpr, consts))
    results = call(*jax.tree.leaves((params, data)))
    return jax.tree.unflatten(jax.tree.structure(shape), results)

  return converted, (data, captured)


def with_rule(function: Function, forward: Callable[..., tuple[Any, Any]]) -> Function:
  """The function with a custom rule for the reverse derivative.

  Args:
    function: (params, data) -> value.
    forward: (params, data, in_data) -> (value, pullback): the pullback is a callable
      pytree, cotangent -> (cotangent of the params, cotangent of the data). Unless
      `in_data`, nobody asks for the latter, and it may be None.
  """
  ruled = jax.custom_vjp(function)

  def first(params, data):
    in_data = any(x.perturbed and is_real(x.value) for x in jax.tree.leaves(data))
    value = lambda tree: jax.tree.map(lambda x: x.value, tree)
    return forward(value(params), value(data), in_data)

  def second(pullback, cotangent):
    instantiate = lambda x: ad.instantiate_zeros(ad.Zero(x.aval)) if _is_zero(x) else x
    return pullback(jax.tree.map(instantiate, cotangent, is_leaf=_is_zero))

  ruled.defvjp(first, second, symbolic_zeros=True)
  return ruled


def refuse(data: Any, message: str) -> Any:
  """The data as they are; whoever asks for a derivative in them gets a UserError."""

  @jax.custom_jvp
  def identity(data):
    return data

  def rule(primals, tangents):
    primals_, tangents_ = map(jax.tree.leaves, (primals, tangents))
    if any(map(lambda p, t: is_real(p) and not _is_zero(t), primals_, tangents_)):
      raise errors.UserError(message)
    return primals[0], tangents[0]

  identity.defjvp(rule, symbolic_zeros=True)
  return identity(data)


def _is_zero(leaf: Any) -> bool:
  return isinstance(leaf, jax.custom_derivatives.SymbolicZero)
