"""The answers that LogMeta's variants are held to: plain jax in float64, not timed."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benches import lstm_workloads
from experiments.benches.variants import Runner, Variant
from metalog_jax import types

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


def adapter(
  workload: lstm_workloads.NewSystem, variant: Variant, data: types.Dataset
) -> Callable:
  """Makes adapt(target) -> moved() -> how far each weight moved."""
  del variant, data

  def adapt(target: types.Dataset) -> Callable[[], dict[str, np.ndarray]]:
    with jax.enable_x64(True):
      x, inside = _pad(target)
      start = _first_weights(workload)

      def step(params, _):
        grads = jax.grad(loss)(params, x, target.sessions.labels, inside)
        return {n: p - workload.rate * grads[n] for n, p in params.items()}, None

      descend = jax.jit(lambda p: jax.lax.scan(step, p, length=workload.steps)[0])
      end = descend(start)
      return lambda: {n: np.asarray(end[n]) - np.asarray(p) for n, p in start.items()}

  return adapt


def scorer(
  workload: lstm_workloads.NewSystem, variant: Variant, data: types.Dataset
) -> Callable[[types.Dataset], float]:
  """Makes score(a data set of one session) -> the probability of an anomaly."""
  del variant, data
  with jax.enable_x64(True):
    params = _first_weights(workload)
  compiled = jax.jit(functools.partial(logits, params))

  def score(one: types.Dataset) -> float:
    with jax.enable_x64(True):
      return float(jax.nn.softmax(compiled(*_pad(one)))[0, 1])

  return score


def loss(
  params: Params, x: jax.Array, labels: jax.Array, inside: jax.Array | None = None
) -> jax.Array:
  """The mean cross-entropy of `logits`, as autodiff takes it: labels [B]."""
  return optax.softmax_cross_entropy_with_integer_labels(
    logits(params, x, inside), labels
  ).mean()


def logits(params: Params, x: jax.Array, inside: jax.Array | None = None) -> jax.Array:
  """Bi-LSTM, attention, two logits: [B, 2].

  Args:
    params: by PyTorch's names.
    x: [B, L, D].
    inside: [B, L], which of them are events, the first of each row; None: all.
  """
  inside = jnp.ones(x.shape[:2], bool) if inside is None else inside
  read = functools.partial(_lstm, params, x, inside)
  a = jnp.concatenate([read(''), read('_reverse')], -1)
  scores = a @ params['attention.weight'] + params['attention.bias']
  weights = jax.nn.softmax(jnp.where(inside, scores, -jnp.inf), -1)
  context = jnp.einsum('bl,blh->bh', weights, a)
  return context @ params['head.weight'].T + params['head.bias']


def _lstm(params: Params, x, inside, suffix: str) -> jax.Array:
  """One direction as in PyTorch: [B, L, D] -> [B, L, H]; behind the end, zeros."""
  w_ih, w_hh, b_ih, b_hh = (
    params[f'lstm.{n}_l0{suffix}']
    for n in ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh')
  )

  def cell(state, inputs):
    (c, h), (x, real) = state, inputs
    i, f, g, o = jnp.split(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, -1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    c, h = c * real[:, None], h * real[:, None]
    return (c, h), h

  zero = jnp.zeros((len(x), w_hh.shape[1]), x.dtype)
  steps = x.swapaxes(0, 1), inside.T
  states = jax.lax.scan(cell, (zero, zero), steps, reverse=bool(suffix))[1]
  return states.swapaxes(0, 1)


def _first_weights(workload) -> Params:
  params = lstm_workloads.params(workload)
  return {n: jnp.asarray(p, jnp.float64) for n, p in params.items()}


def _pad(data: types.Dataset) -> tuple[np.ndarray, np.ndarray]:
  """Vectors [B, L, D] of the events, and which of them are there [B, L]."""
  rows = lstm_workloads.read(data.sessions)
  lengths = np.array([len(row) for row in rows])
  inside = np.arange(lstm_workloads.MAX_EVENTS) < lengths[:, None]
  events = np.zeros(inside.shape, np.int32)
  events[inside] = np.concatenate(rows)
  return data.vectors[events].astype(np.float64), inside
