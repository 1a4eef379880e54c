"""What a meta-gradient is taken in: parameters, hyperparameters, or both.

Hyperparameters are any pytree: weights of the data or of the loss's terms, rates of the
inner optimizer, the parameters of a learned loss. Whole numbers, PRNG keys and the like
among them are passed on to the loss, and have no gradient: None stands in their place.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from metalog_jax import errors
from metalog_jax.meta import derivatives, rules
from metalog_jax.meta.config import MetaConfig

Loss = Callable[..., Any]
Wrt = Literal['params', 'hyper', 'both']


class Bound(NamedTuple):
  """A meta-problem whose hyperparameters are set."""

  loss: Callable[[Any, Any], jax.Array]  # (params, batch) -> scalar
  with_aux: Callable[[Any, Any], tuple[jax.Array, Any]]  # -> (scalar, aux or None)
  config: MetaConfig  # its rule is a rule


def bind(
  loss_fn: Loss, config: MetaConfig, hyper: Any = None, has_aux: bool = False
) -> Bound:
  """Sets the hyperparameters of a loss and of its inner rule.

  The loss closes over them: `derivatives` makes them explicit where a mode of the
  meta-gradient has a rule of its own.

  Args:
    loss_fn: (params, batch), or with hyperparameters (params, hyper, batch), to a
      scalar; with `has_aux` to (scalar, aux).
    config: whose rule may be a function of the hyperparameters.
    hyper: any pytree; None: the loss has none.
    has_aux: as of `jax.grad`.

  Raises:
    UserError: the rule is a function of hyperparameters that are not given. Where the
      mode gives those of the rule no gradient, whoever asks for one.
  """
  whole = loss_fn if hyper is None else lambda p, batch: loss_fn(p, hyper, batch)
  if rules.is_of_hyper(config.rule) and hyper is not None:
    config = dataclasses.replace(config, rule=_rule(config, hyper))
  if not has_aux:
    return Bound(whole, lambda p, batch: (whole(p, batch), None), config)

  def with_aux(params, batch):
    pair = whole(params, batch)
    if not isinstance(pair, tuple) or len(pair) != 2:
      raise errors.UserError('with has_aux=True the loss has to give (loss, aux)')
    return pair

  return Bound(lambda p, batch: with_aux(p, batch)[0], with_aux, config)


def _rule(config: MetaConfig, hyper: Any) -> rules.Rule:
  if config.mode in ('implicit', 'reptile'):
    what = {
      'implicit': "the inner problem's optimum does not depend on the inner optimizer",
      'reptile': 'it is a direction in the parameters alone',
    }[config.mode]
    hyper = derivatives.refuse(
      hyper,
      f"gradient={config.mode!r} gives the inner rule's hyperparameters no gradient: "
      f"{what}. Take gradient='mixed', which differentiates the inner steps",
    )
  of_hyper: Any = config.rule
  return rules.resolve(of_hyper, hyper)


def trained(
  params: Any, hyper: Any, wrt: Wrt
) -> tuple[Any, Callable[[Any], tuple[Any, Any]]]:
  """The variables that a gradient is taken in.

  Returns:
    A pytree of real numbers: the parameters, the hyperparameters' real numbers (None
    in place of others), or the pair of both; and merge(variables) -> (params, hyper).

  Raises:
    UserError: there is no such choice, there are no hyperparameters, or what is to be
      trained has whole numbers for parameters or no real number at all.
  """
  if wrt not in get_args(Wrt):
    raise errors.unknown_choice('wrt', wrt, get_args(Wrt))
  if wrt != 'hyper':
    check_real(params)
  if wrt == 'params':
    return params, lambda params: (params, hyper)
  real, merge = derivatives.split(hyper)
  if not jax.tree.leaves(real):
    what = 'give hyper=...' if hyper is None else 'those given have no real number'
    raise errors.UserError(f'wrt={wrt!r} needs hyperparameters: {what}')
  if wrt == 'hyper':
    return real, lambda real: (params, merge(real))
  return (params, real), lambda pair: (pair[0], merge(pair[1]))


def check_real(params: Any) -> None:
  """Checks that all parameters have derivatives.

  Raises:
    UserError: some are whole numbers or the like.
  """
  for place, leaf in jax.tree_util.tree_leaves_with_path(params):
    if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
      raise errors.UserError(
        f'params{jax.tree_util.keystr(place)} is of {jnp.result_type(leaf)}: only '
        'real numbers can be adapted; pass the others in hyper or in the batch'
      )


def scalar(loss_fn: Loss) -> Loss:
  """The loss, checked where it is traced.

  Raises:
    UserError: it is no real scalar.
  """

  def checked(params, batch):
    loss = loss_fn(params, batch)
    check_scalar(loss)
    return loss

  return checked


def check_scalar(loss: Any) -> None:
  """Checks a loss's value.

  Raises:
    UserError: it is no real scalar.
  """
  structure: Any = jax.tree.structure(loss)
  leaf = structure == jax.tree.structure(0)
  if (
    not leaf
    or jnp.shape(loss)
    or not jnp.issubdtype(jnp.result_type(loss), jnp.floating)
  ):
    kind = jax.tree.map(lambda x: f'{jnp.result_type(x)}{[*jnp.shape(x)]}', loss)
    raise errors.UserError(
      f'loss_fn gives {kind}: it has to give one real number, or (number, aux) with '
      'has_aux=True'
    )
