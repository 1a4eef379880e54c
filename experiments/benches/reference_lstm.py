"""The answer that LogMeta's variants are held to: plain jax in float64, not timed."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benches import lstm_workloads
from experiments.benches.variants import Runner, Variant

Params = dict[str, jax.Array]  # by PyTorch's names


def meta_step(workload: lstm_workloads.MetaStep, variant: Variant, num: int) -> Runner:
  """The meta-gradient of the first tasks at the first weights."""
  del num
  answer: dict[str, np.ndarray] = {}

  def objective(params, support, query):
    for _ in range(workload.inner_steps):
      grads = jax.grad(loss)(params, *support)
      params = {n: p - workload.inner_lr * grads[n] for n, p in params.items()}
    return loss(params, *query)

  @jax.jit
  def gradient(params, support, query):
    one = lambda tasks: jax.grad(objective)(params, *tasks)
    return jax.tree.map(lambda g: g.mean(0), jax.lax.map(one, (support, query)))

  def run(_: int) -> None:
    with jax.enable_x64(True):
      table = lstm_workloads.vectors(workload).astype(np.float64)
      parts = [(table[p.events], p.labels) for p in lstm_workloads.tasks(workload, 0)]
      answer.update(
        jax.tree.map(np.asarray, gradient(_first_weights(workload), *parts))
      )

  return Runner(run, lambda: answer)


def loss(params: Params, x: jax.Array, labels: jax.Array) -> jax.Array:
  """The mean cross-entropy of `logits`, as autodiff takes it: labels [B]."""
  value = optax.softmax_cross_entropy_with_integer_labels(logits(params, x), labels)
  return value.mean()


def logits(params: Params, x: jax.Array) -> jax.Array:
  """Bi-LSTM, attention, two logits: [B, L, D] -> [B, 2]."""
  a = jnp.concatenate([_lstm(params, x, ''), _lstm(params, x, '_reverse')], -1)
  scores = a @ params['attention.weight'] + params['attention.bias']
  context = jnp.einsum('bl,blh->bh', jax.nn.softmax(scores, -1), a)
  return context @ params['head.weight'].T + params['head.bias']


def _lstm(params: Params, x: jax.Array, suffix: str) -> jax.Array:
  """One direction as in PyTorch: [B, L, D] -> [B, L, H]."""
  w_ih, w_hh, b_ih, b_hh = (
    params[f'lstm.{n}_l0{suffix}']
    for n in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')
  )

  def cell(state, x):
    c, h = state
    i, f, g, o = jnp.split(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, -1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (c, h), h

  zero = jnp.zeros((len(x), w_hh.shape[1]), x.dtype)
  states = jax.lax.scan(cell, (zero, zero), x.swapaxes(0, 1), reverse=bool(suffix))[1]
  return states.swapaxes(0, 1)


def _first_weights(workload) -> Params:
  params = lstm_workloads.params(workload)
  return {n: jnp.asarray(p, jnp.float64) for n, p in params.items()}
