"""The settings of a meta-objective."""

import dataclasses
import math
import operator
from typing import Any, Literal

import jax

from metalog_jax import errors
from metalog_jax.meta import gradients, rules

COUNTS = ('inner_steps', 'anneal', 'truncate', 'cg_steps')
NUMBERS = ('inner_lr', 'support_weight', 'query_weight', 'proximal', 'cg_tol', 'memory')


@dataclasses.dataclass(frozen=True)
class MetaConfig:
  """What the meta-objective is, and how it is differentiated. By default MAML's.

  Attributes:
    inner_lr: α, the step size of the inner updates.
    inner_steps: K, how many inner updates.
    order: 'second' as `gradient` says; 'first' drops the derivative of the inner
      gradients, as the released MetaLog does, whatever `gradient` says.
    gradient: how the meta-gradient is taken, see `gradients`.
    support_weight: of the support's loss at the initial parameters; MAML 0, MetaLog 1.
    query_weight: of the query's loss at the adapted parameters; MAML 1, MetaLog β.
    support_per_step: whether the support's leaves carry a leading axis of length
      `inner_steps`, one batch for each inner step (MetaLog's splits); by default all
      steps read the whole support.
    rule: of the inner updates: one of `rules`, or a transformation of optax, or a
      function of the hyperparameters that gives one, such as
      `lambda hyper: optax.sgd(hyper['rate'])`; None: gradient descent with `inner_lr`.
    anneal: > 0: the query's loss is taken after every inner step, with weights that
      move to the last one over so many meta-steps (MAML++); 0: after the last alone.
    truncate: with 'truncated', the last so many inner steps are differentiated
      exactly, those before in first order. 0 is first order, K is exact.
    proximal: λ >= 0. Adds λ/2 ‖θᵢ - θ‖² to the inner loss, whatever the mode; with
      'implicit' it must be positive.
    cg_steps: with 'implicit', steps of conjugate gradients at most.
    cg_tol: with 'implicit', their residual relative to the right side.
    segments: into how many segments the exact inner steps are cut; the derivative
      keeps where each begins and computes it again, so that K steps need the memory
      of about 2 √K. 1: they are not cut; 'auto': as few as `memory` asks for.
    memory: bytes that the inner steps of a task may keep, for `segments='auto'`.
    tasks: how a device takes the tasks of a step: 'side_by_side' (`vmap`) or
      'in_turn' (`scan`), which needs the memory of one; 'auto': in turn on a CPU,
      but for one inner step on many small tasks (`outer.tasks_in_turn`).

  Raises:
    UserError: there is no such choice, or a number is negative or not finite.
  """

  inner_lr: float = 2e-3
  inner_steps: int = 5
  order: gradients.Order = 'second'
  gradient: gradients.Gradient = 'mixed'
  support_weight: float = 0.0
  query_weight: float = 1.0
  support_per_step: bool = False
  rule: rules.Rule | rules.Transformation | rules.OfHyper | None = None
  anneal: int = 0
  truncate: int = 1
  proximal: float = 0.0
  cg_steps: int = 10
  cg_tol: float = 1e-6
  segments: int | Literal['auto'] = 'auto'
  memory: float = 2.0**32
  tasks: Literal['auto', 'in_turn', 'side_by_side'] = 'auto'

  def __post_init__(self):
    errors.check_choices(self, 'MetaConfig.')
    for name in COUNTS + NUMBERS:
      _check_number(name, getattr(self, name), name in COUNTS)
    if self.segments != 'auto':
      _check_number('segments', self.segments, whole=True)
    if not isinstance(self.support_per_step, bool):
      raise errors.UserError(
        f'MetaConfig.support_per_step={self.support_per_step!r} is not True or False'
      )
    if self.rule is not None and not rules.is_of_hyper(self.rule):
      object.__setattr__(self, 'rule', rules.as_rule(self.rule))

  @property
  def mode(self) -> str:
    """'first', or the gradient's."""
    return 'first' if self.order == 'first' else self.gradient

  @property
  def inner_rule(self) -> rules.Rule:
    """The rule, or gradient descent."""
    if rules.is_of_hyper(self.rule):
      raise errors.UserError(
        'MetaConfig.rule is a function of the hyperparameters: give them, hyper=...'
      )
    return rules.as_rule(self.rule) if self.rule else rules.sgd(self.inner_lr)


def _check_number(name: str, value: Any, whole: bool) -> None:
  """Traced numbers pass: the derivative in a learning rate may be asked for."""
  if isinstance(value, jax.core.Tracer):
    return
  try:
    number = operator.index(value) if whole else float(value)
  except (TypeError, ValueError):
    number = math.nan
  if isinstance(value, (bool, str)) or not 0 <= number < math.inf:
    kind = 'whole number' if whole else 'finite number'
    raise errors.UserError(f'MetaConfig.{name}={value!r} is not a {kind} >= 0')
