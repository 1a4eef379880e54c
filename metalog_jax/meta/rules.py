"""Inner rules: how the gradient of an inner step becomes the next parameters.

A rule may learn: then the meta-parameters hold more than the loss sees, and the
meta-gradient flows to all of them.
"""

import inspect
from collections.abc import Callable, Collection
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from metalog_jax import errors
from metalog_jax.meta import derivatives

EPS_ROOT = 1e-8  # what Adam adds under the root, so that it has a derivative at zero


@runtime_checkable
class Transformation(Protocol):
  """An `optax.GradientTransformation`: the part of it that is used."""

  init: Callable
  update: Callable


class Rule(NamedTuple):
  """Three pure functions; `params` is what the loss understands.

  `split` and `update` are differentiated, so they must be differentiable where
  gradients are zero; `check` proves that they are.
  """

  split: Callable  # meta-parameters -> (params, rates: leaves [K, ...], or None)
  init: Callable  # params -> state of the rule
  update: Callable  # (grads, state, params, rates of this step) -> (params, state)
  probe: Any = None  # the same rule of plain numbers, for `check`; None: this one


OfHyper = Callable[[Any], Rule | Transformation]  # hyperparameters -> rule


class Learned(NamedTuple):
  """Meta-parameters of `learned`."""

  params: Any
  rates: Any  # like params; leaves [K] or [K, *shape], or with 1 in the place of K


def sgd(rate: Any) -> Rule:
  """Gradient descent: θᵢ = θᵢ₋₁ - α g.

  Args:
    rate: α, one for all; or a pytree like the parameters, a rate or an array of rates
      for each leaf.
  """
  shared = jax.tree_util.treedef_is_leaf(jax.tree.structure(rate))

  def update(grads, state, params, _):
    if shared:
      return jax.tree.map(lambda p, g: p - rate * g, params, grads), state
    return jax.tree.map(lambda p, g, r: p - r * g, params, grads, rate), state

  return Rule(lambda params: (params, None), lambda _: (), update)


def as_rule(rule: Any) -> Rule:
  """A rule as it is, or the rule of an optax transformation.

  Raises:
    UserError: it is neither.
  """
  if isinstance(rule, Rule):
    return rule
  if not isinstance(rule, Transformation):
    raise errors.UserError(
      f'rule={rule!r} is neither one of metalog_jax.meta.rules nor an optax '
      'transformation, such as optax.sgd(0.1)'
    )
  return from_optax(rule)


def is_of_hyper(rule: Any) -> bool:
  """Whether it is a function of the hyperparameters rather than a rule."""
  return callable(rule) and not isinstance(rule, Transformation)


def resolve(rule: OfHyper, hyper: Any) -> Rule:
  """The rule that a function of the hyperparameters gives.

  Its probe has 1/2 in place of those that are traced: whether a derivative at a
  gradient of zero is finite does not hang on them, but for an `eps_root`.
  """

  def plain(x):
    if not isinstance(x, jax.core.Tracer) or not derivatives.is_real(x):
      return x
    return np.full(x.shape, 0.5, x.dtype)

  probe = as_rule(rule(jax.tree.map(plain, hyper)))
  return as_rule(rule(hyper))._replace(probe=probe)


def injected(transform: Transformation, part: Any = None) -> OfHyper:
  """The rule of a transformation whose hyperparameters are meta-parameters.

      >>> import optax
      >>> adam = optax.inject_hyperparams(optax.adam)(0.1, eps_root=1e-8)
      >>> rule = injected(adam, 'adam')  # hyper['adam'] may have 'learning_rate'

  Args:
    transform: made by `optax.inject_hyperparams`.
    part: the key under which `hyper` has a dict of the hyperparameters to set, by
      optax's names; None: `hyper` is that dict. Those it does not name stay as they
      are.

  Raises:
    UserError: when used, if there is no such hyperparameter, or a schedule sets it.
  """

  def rule(hyper):
    numbers = hyper if part is None else hyper[part]

    def init(params):
      state = transform.init(params)
      if not hasattr(state, 'hyperparams'):
        raise errors.UserError(
          'rules.injected needs a transformation of optax.inject_hyperparams, such as '
          'optax.inject_hyperparams(optax.sgd)(0.1)'
        )
      names = set(state.hyperparams) - set(getattr(state, 'hyperparams_states', ()))
      for name in numbers:
        if name not in names:
          raise errors.unknown_choice('hyperparameter', name, sorted(names))
      dtype = {name: jnp.asarray(x).dtype for name, x in state.hyperparams.items()}
      given = {name: jnp.asarray(x, dtype[name]) for name, x in numbers.items()}
      return state._replace(hyperparams=state.hyperparams | given)

    return from_optax(transform)._replace(init=init)

  return rule


def from_optax(transform: Transformation) -> Rule:
  """Any `optax.GradientTransformation`, started afresh in every task.

  Adam and its kin divide by sqrt(v), whose derivative at a gradient of zero is not
  finite: give them `eps_root` > 0 (1e-8, say).
  """

  def update(grads, state, params, _):
    updates, state = transform.update(grads, state, params)
    return jax.tree.map(lambda p, u: (p + u).astype(p.dtype), params, updates), state

  return Rule(lambda params: (params, None), transform.init, update)


def named(name: str, rate: float) -> Rule:
  """The rule of optax's optimizer `name` (sgd, adam, rmsprop, ...) with this rate.

  Where the optimizer has an `eps_root`, it is 1e-8: see `from_optax`.

  Raises:
    UserError: optax has no such optimizer.
  """
  import optax

  settings = _settings(optax, name)
  if 'learning_rate' not in settings:
    names = [n for n in dir(optax) if 'learning_rate' in _settings(optax, n)]
    raise errors.unknown_choice('inner rule', name, names)
  safe = {'eps_root': EPS_ROOT} if 'eps_root' in settings else {}
  return from_optax(getattr(optax, name)(learning_rate=rate, **safe))


def _settings(module: Any, name: str) -> Collection[str]:
  """The parameters of a function by its name; of anything else none."""
  function = getattr(module, name, None)
  return inspect.signature(function).parameters if inspect.isfunction(function) else ()


def only(rule: Any, parts: Collection[str]) -> Any:
  """`rule` for some parts of the parameters; the others stay as they are (ANIL).

  The meta-step still learns the others; no inner gradient is computed for them.

  Args:
    rule: a rule, a transformation of optax, or a function of the hyperparameters
      that gives one; a function is returned for a function.
    parts: keys at the top of what the loss sees, a dict.

  Raises:
    UserError: when used, if the parameters have no such parts.

  References:
    Raghu et al, Rapid Learning or Feature Reuse?, ICLR 2020, section 4.
  """
  if is_of_hyper(rule):
    return lambda hyper: only(rule(hyper), parts)
  rule = as_rule(rule)

  def update(grads, state, params, rates):
    moved, state = rule.update(grads, state, params, rates)
    if missing := set(parts) - set(params):
      raise errors.UserError(f'the parameters have no {sorted(missing)} to adapt')
    return {k: moved[k] if k in parts else params[k] for k in params}, state

  return rule._replace(update=update)


def learned(steps: int) -> Rule:
  """θᵢ = θᵢ₋₁ - rᵢ ⊙ g, where the rates r are learned like the parameters.

  The meta-parameters are a `Learned`, which `with_rates` makes.

  Args:
    steps: K, the inner steps. If there are more than rates, the last goes on.

  References:
    Li et al, Meta-SGD, 2017, eq. 3. Antoniou et al, How to train your MAML, ICLR
    2019, section 4 (one rate for each layer and step).
  """

  def split(meta):
    if not isinstance(meta, Learned):
      raise errors.UserError(
        'rules.learned needs meta-parameters with rates: give rules.with_rates(params, '
        'rate) where the parameters alone were given'
      )
    spread = lambda r: r[jnp.minimum(jnp.arange(steps), len(r) - 1)]
    return meta.params, jax.tree.map(spread, meta.rates)

  def update(grads, state, params, rates):
    return jax.tree.map(lambda p, g, r: p - r * g, params, grads, rates), state

  return Rule(split, lambda _: (), update)


def with_rates(
  params: Any, rate: float, steps: int = 1, each: Literal['leaf', 'entry'] = 'leaf'
) -> Learned:
  """Parameters with inner rates to learn, all `rate` at first.

  Args:
    params: any pytree.
    rate: the initial rate.
    steps: K for rates of each inner step (MAML++); 1: they share them (Meta-SGD).
    each: one rate for every leaf, or for every entry of it.
  """

  def rates(p):
    shape = jnp.shape(p) if each == 'entry' else ()
    return jnp.full((steps, *shape), rate, jnp.asarray(p).dtype)

  return Learned(params, jax.tree.map(rates, params))


def check(rule: Rule, params: Any) -> None:
  """Checks that the rule's derivative in the gradient is finite where that is zero.

  Args:
    rule: any rule.
    params: only the tree, the ranks and the types of its leaves matter.

  Raises:
    UserError: it is not; every meta-gradient would be NaN.
  """
  rule = rule.probe or rule
  with jax.ensure_compile_time_eval():
    zeros = jax.tree.map(lambda p: np.zeros((1,) * p.ndim, p.dtype), params)
    step = lambda grads: rule.update(grads, rule.init(zeros), zeros, zeros)[0]
    slopes = jax.jvp(step, (zeros,), (jax.tree.map(np.ones_like, zeros),))[1]
    bad = [
      jax.tree_util.keystr(path)
      for path, slope in jax.tree_util.tree_leaves_with_path(slopes)
      if not isinstance(slope, jax.core.Tracer) and not np.isfinite(slope).all()
    ]
  if bad:
    raise errors.UserError(
      f'the inner rule has no finite derivative at a gradient of zero '
      f'(in {bad[0] or "the parameters"}), so the meta-gradient would be NaN: give '
      "optax's adam, rmsprop and the like eps_root=1e-8, or take order='first'"
    )
