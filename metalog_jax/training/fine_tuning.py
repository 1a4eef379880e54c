"""The upper layers of an encoder as one part of a detector's parameters.

The meta-step moves them, at a rate of their own; inner steps and adaptation do not, so
that what they give is computed once wherever nothing but those goes on.
"""

from typing import Any

import jax
import numpy as np
import optax

from metalog_jax import types
from metalog_jax.embeddings import encoder, states, texts
from metalog_jax.meta import rules
from metalog_jax.nets import templates

PART = 'encoder'  # of the parameters
CHUNK = 1 << 12  # tokens that are encoded at once for a table


class Top:
  """The `num` upper layers of the encoder; see `nets.templates` for what they compute.

  Args:
    config: the encoder, for its weights and its pooling.
    num: layers, 1 at least.
  """

  def __init__(self, config: texts.Encoder, num: int):
    self._config, self._num = config, num
    self._form = states.form_of(config, num)
    self._table = jax.jit(lambda params, rows: self._vectors(params, rows))

  def start(self) -> Any:
    """The pre-trained weights, float32."""
    model = texts.load(self._config)
    params = texts.params_of(model, self._config)
    params = encoder.top_params(params, self._form, self._num)
    return jax.tree.map(lambda x: x.astype(np.float32), params)

  def read(self, params: Any, batch: types.Batch) -> types.Batch:
    """The batch with event vectors [V, D]; one that has them already as it is."""
    if batch.vectors.ndim == 2:
      return batch
    return batch._replace(vectors=self._vectors(params[PART], batch.vectors))

  def table(self, params: Any, vectors: Any) -> Any:
    """The event vectors [V, D] of a whole system, for many batches."""
    if not isinstance(vectors, states.States):
      return vectors
    made, size = [], max(CHUNK // vectors.width, 1)  # rows, and so events
    for i in range(0, len(vectors), size):
      events = np.arange(i, min(i + size, len(vectors)))
      rows = vectors.pack(events, size)
      made.append(np.asarray(self._table(params[PART], rows))[: len(events)])
    return np.concatenate(made)

  def _vectors(self, params, rows):
    pooling = self._config.pooling
    return templates.vectors(params, rows, self._form, self._num, pooling)


def without(params: Any) -> Any:
  """The parameters that inner steps move, `rules.Learned` ones as well."""
  drop = lambda tree: {k: v for k, v in tree.items() if k != PART}
  if isinstance(params, rules.Learned):
    return rules.Learned(drop(params.params), drop(params.rates))
  return drop(params)


def adam(rate: float, encoder_rate: float | None) -> optax.GradientTransformation:
  """Adam with another rate for the encoder; its steps are proportional to the rate.

  Args:
    encoder_rate: None: no part of the parameters is the encoder's.
  """
  if encoder_rate is None:
    return optax.adam(rate)

  def scale(path, update):
    is_part = any(getattr(key, 'key', None) == PART for key in path)
    return update * (encoder_rate / rate) if is_part else update

  own = optax.stateless(lambda u, _: jax.tree_util.tree_map_with_path(scale, u))
  return optax.chain(optax.adam(rate), own)


def inner_parts(recurrent: bool, attention: bool) -> tuple[str, ...]:
  """All that inner steps are to move: the network without the encoder."""
  names = (('lstm', recurrent), ('attention', attention), ('head', True))
  return tuple(name for name, there in names if there)
