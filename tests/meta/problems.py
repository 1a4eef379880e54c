"""Meta-learning problems: MetaLog's own at any size, and a small one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from metalog_jax import meta, types
from metalog_jax.nets import logmeta, losses
from tests import grids

# MetaLog's form of the objective: a batch of the support for each inner step.
SPLITS: dict[str, Any] = {'support_weight': 1.0, 'support_per_step': True}
# Large inner steps, so that first and second order are far apart.
METALOG = meta.MetaConfig(inner_lr=0.3, inner_steps=2, query_weight=4.0, **SPLITS)


class Problem(NamedTuple):
  loss_fn: Callable[[Any, Any], Any]
  params: Any
  task: types.Task


def stack(items: list) -> Any:
  return jax.tree.map(lambda *x: np.stack(x), *items)


def logs(network: Any, steps: int, dim: int, **sizes) -> Problem:
  """Sessions of a source in `steps` splits, and of a target."""

  def loss_fn(params, batch):
    logits = network.apply({'params': params}, batch)
    return losses.cross_entropy(logits, batch.labels, batch.weights)

  support = stack([grids.batch(i, dim=dim, **sizes) for i in range(steps)])
  query = grids.batch(9, templates=4, dim=dim, **sizes)
  params = grids.params(network, query)
  scale = min(1, 2 / np.sqrt(network.hidden))  # gates that are not saturated
  return Problem(
    loss_fn, jax.tree.map(lambda x: scale * x, params), types.Task(support, query)
  )


def few_shot(tasks: int = 4, **sizes) -> Problem:
  """LogMeta's network on `tasks` tasks of one support each; leaves [tasks, ...]."""
  sizes = {'lengths': (5, 4, 4, 2, 1), 'dim': 3, 'rows': 6} | sizes
  problem = logs(logmeta.Network(hidden=3), 1, **sizes)
  draw = lambda i, templates: grids.batch(i, templates=templates, **sizes)
  supports = stack([draw(i, 6) for i in range(tasks)])
  queries = stack([draw(50 + i, 6) for i in range(tasks)])
  return problem._replace(task=jax.tree.map(jnp.asarray, types.Task(supports, queries)))


def regression(steps: int, num: int = 1) -> Problem:
  """A small tanh network; the task's leaves carry a leading axis of `num`."""

  def loss_fn(params, batch):
    x, y = batch
    return jnp.mean((jnp.tanh(x @ params['w'] + params['b']) @ params['v'] - y) ** 2)

  rng = np.random.default_rng(0)
  params = {'w': (3, 4), 'b': (4,), 'v': (4, 2)}
  params = {name: rng.normal(size=shape) for name, shape in params.items()}
  data = lambda *lead: (rng.normal(size=(*lead, 5, 3)), rng.normal(size=(*lead, 5, 2)))
  return Problem(loss_fn, params, types.Task(data(num, steps), data(num)))


def central_differences(
  f: Callable[[Any], Any], params: Any, directions: np.ndarray, step: float = 1e-4
) -> np.ndarray:
  """Slopes of f along flat directions [n, P], of fourth order in `step`: [n]."""
  flat, unravel = jax.flatten_util.ravel_pytree(params)
  offsets = step * np.array([-2, -1, 1, 2])
  at = lambda d: jax.lax.map(lambda t: f(unravel(flat + t * d)), offsets)
  values = jax.jit(lambda: jax.lax.map(at, directions))()
  return np.asarray(values @ np.array([1, -8, 8, -1]) / (12 * step))
