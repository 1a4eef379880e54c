"""From `no_library_maml` to the library, one change at a time: what each one brings.

Each rung keeps the changes of those before it. They are controls: what is measured
between two rungs is the gain of one idea.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from experiments import no_library_maml
from experiments.benches import reference_gru, workloads
from metalog_jax import types
from metalog_jax.nets import attention, grid, losses
from metalog_jax.nets import gru as gru_cells


def loss(rung: str, params: dict, batch: workloads.Padded | types.Batch) -> jax.Array:
  """Mean cross-entropy, as that rung computes it.

  Args:
    params: by PyTorch's names, {room: {name: array}}.
    batch: `types.Batch` for 'packed', `workloads.Padded` before.
  """
  if rung == 'packed':
    return _packed(params, batch)
  if rung == 'no library':
    flat = {f'{room}.{n}': x for room, xs in params.items() for n, x in xs.items()}
    x = batch.vectors[batch.events]
    plain = no_library_maml.Batch(x, batch.lengths, batch.labels)
    return no_library_maml.loss(reference_gru.nested(flat, x.dtype), plain)
  a = _padded_states(params['gru'], batch)
  pool = {'table': _attended, 'column sums': _column_sums}[rung]
  mask = jnp.arange(a.shape[1]) < batch.lengths[:, None]
  context = pool(a, mask, **params['attention'])
  return _cross_entropy(params, context, batch.labels, jnp.ones(len(context)))


def _inputs(gru: dict, layer: int, states, batch) -> jax.Array:
  """What events add to the gates: for the first layer, looked up by event."""
  w, b = gru[f'weight_ih_l{layer}'], gru[f'bias_ih_l{layer}']
  if states is None:
    return (batch.vectors @ w.T + b)[batch.events]
  return states @ w.T + b


def _run(gru: dict, layer: int) -> Callable:
  """The plain step of a layer, for autodiff to differentiate."""
  w, b = gru[f'weight_hh_l{layer}'], gru[f'bias_hh_l{layer}']

  def body(h, x):
    h = gru_cells.cell(x, h, w, b)[0]
    return h, h

  return body


def _padded_states(gru: dict, batch: workloads.Padded) -> jax.Array:
  """[B, L, H]."""
  states = None
  for layer in range(len(gru) // 4):
    x = _inputs(gru, layer, states, batch)
    h = jnp.zeros((len(x), x.shape[-1] // 3), x.dtype)
    states = jax.lax.scan(_run(gru, layer), h, x.swapaxes(0, 1))[1].swapaxes(0, 1)
  return states


def _matrix(a, mask, w_q, w_k) -> jax.Array:
  scores = (a @ w_q.T) @ (a @ w_k.T).swapaxes(1, 2)
  return jax.nn.softmax(jnp.where(mask[:, None], scores, -1e30), -1)


def _attended(a, mask, w_q, w_k) -> jax.Array:
  """The attended sequence is formed, then summed."""
  attended = _matrix(a, mask, w_q, w_k) @ a
  return jnp.where(mask[..., None], attended, 0).sum(1)


def _column_sums(a, mask, w_q, w_k) -> jax.Array:
  """The attention matrix is summed, then applied once."""
  weights = jnp.where(mask[..., None], _matrix(a, mask, w_q, w_k), 0).sum(1)
  return jnp.einsum('bl,blh->bh', weights, a)


def _packed(params: dict, batch: types.Batch) -> jax.Array:
  """No padding: the library's grid, differentiated by autodiff alone."""
  states, link = None, grid.link(batch, 'forward')
  gru = params['gru']
  for layer in range(len(gru) // 4):
    x = _inputs(gru, layer, states, batch).reshape(link.size, -1)
    states = grid.down(_run(gru, layer), x, x.shape[-1] // 3, link, 'forward')
  context, _ = attention.self_attention(
    **params['attention'], states=states, batch=batch
  )
  return _cross_entropy(params, context, batch.labels, batch.weights)


def _cross_entropy(params, context, labels, weights) -> jax.Array:
  logits = jnp.tanh(context @ params['head']['weight'].T)
  return losses.cross_entropy(logits, labels, weights)
