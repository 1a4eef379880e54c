"""Two kinds of steps on the same parameters, each with an optimizer of its own.

The form of a task tells its kind: the first has its batch as support, the second as
query; so each is a program of its own, and one state holds both optimizers.
"""

from collections.abc import Callable
from typing import Any

from metalog_jax import lazy, types
from metalog_jax.training import supervised

optax = lazy.module('optax')


def optimizers(first: Any, second: Any) -> tuple[Any, Any]:
  """The same two optax optimizers, over a state that holds that of both."""
  both = (first, second)

  def init(params):
    return tuple(each.init(params) for each in both)

  def over_both(number: int):
    def update(grads, states, params=None):
      updates, state = both[number].update(grads, states[number], params)
      return updates, (*states[:number], state, *states[number + 1 :])

    return optax.GradientTransformation(init, update)

  return over_both(0), over_both(1)


def make_step(
  losses: tuple[Callable, Callable], optimizers: tuple[Any, Any], devices: Any
) -> Callable:
  """step(state, task), by the form of the task; see `supervised.make_step`."""
  first, second = (
    supervised.make_step(loss, optimizer, devices)
    for loss, optimizer in zip(losses, optimizers, strict=True)
  )

  def step(state, task):
    if task.query == ():
      return first(state, types.Task((), task.support))
    return second(state, task)

  return step


def in_turn(first: types.Stream, second: types.Stream, rounds: int) -> types.Stream:
  """In every round a part of the first, then one of the second, all parts equal."""
  counts = first.num_steps // rounds, second.num_steps // rounds

  def draw(step: int) -> types.Task:
    number, place = divmod(step, sum(counts))
    if place < counts[0]:
      return types.Task(first.draw(number * counts[0] + place).query, ())
    return second.draw(number * counts[1] + place - counts[0])

  return types.Stream(rounds * sum(counts), draw)
