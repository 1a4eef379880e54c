"""LogMeta's meta-step by this library, and the answers that variants are held to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benches import jax_variants, logmeta
from experiments.benches.variants import Runner, Variant
from metalog_jax import meta, types
from metalog_jax.meta import mesh
from metalog_jax.nets import logmeta as nets
from metalog_jax.nets import losses


def build(workload: logmeta.Workload, variant: Variant, num: int) -> Runner:
  if variant.how == 'reference':
    return _reference(workload, variant)
  network, devices = nets.Network(workload.hidden), mesh.make(jax.device_count())

  def loss(params, batch):
    logits = network.apply({'params': params}, batch)
    return losses.cross_entropy(logits, batch.labels, batch.weights, mesh.ROWS)

  config = meta.MetaConfig(
    workload.inner_lr,
    workload.inner_steps,
    order=variant.order,
    support_weight=0.0,
    query_weight=1.0,
    support_per_step=False,
    tasks='side_by_side' if variant.how == 'side by side' else 'auto',
  )
  optimizer = optax.adam(2e-3)
  step = meta.make_meta_step(loss, optimizer, config, devices)
  params = jax_variants.nest(logmeta.params(workload))
  state = mesh.replicate(meta.init_state(params, optimizer), devices)
  tasks = [mesh.put(_laid(workload, step), devices) for step in range(num)]
  return jax_variants.runner(step, state, tasks)


def _laid(workload: logmeta.Workload, step: int) -> types.Task:
  """A window a row of the grid: leaves [T, 1 device along the rows, ...]."""
  table = logmeta.vectors(workload)

  def lay(part: logmeta.Part) -> types.Batch:
    events = part.events.swapaxes(1, 2)  # [T, L, R]
    which = np.broadcast_to(np.arange(events.shape[2], dtype=np.int32), events.shape)
    real = lambda x: np.asarray(x, np.float32)
    vectors = np.broadcast_to(table, (len(events), *table.shape))
    labels = real(part.labels)
    batch = types.Batch(vectors, events, which, labels, np.ones_like(labels))
    return jax.tree.map(lambda x: x[:, None], batch)

  return types.Task(*map(lay, logmeta.tasks(workload, step)))


def _reference(workload: logmeta.Workload, variant: Variant) -> Runner:
  """The meta-gradient of the first tasks in float64, in jax alone; never timed."""
  found: dict[str, np.ndarray] = {}

  def objective(params, support, query):
    for _ in range(workload.inner_steps):
      grads = jax.grad(plain_loss)(params, *support)
      if variant.order == 'first':
        grads = jax.lax.stop_gradient(grads)
      params = {n: p - workload.inner_lr * grads[n] for n, p in params.items()}
    return plain_loss(params, *query)

  @jax.jit
  def gradient(params, support, query):
    one = lambda tasks: jax.grad(objective)(params, *tasks)
    return jax.tree.map(lambda g: g.mean(0), jax.lax.map(one, (support, query)))

  def run(_: int) -> None:
    with jax.enable_x64(True):
      table = logmeta.vectors(workload).astype(np.float64)
      parts = [(table[p.events], p.labels) for p in logmeta.tasks(workload, 0)]
      params = logmeta.params(workload)
      params = {n: jnp.asarray(x, jnp.float64) for n, x in params.items()}
      found.update(jax.tree.map(np.asarray, gradient(params, *parts)))

  return Runner(run, lambda: found)


def plain_loss(
  params: dict, x: jax.Array, labels: jax.Array, inside: jax.Array | None = None
) -> jax.Array:
  """The mean cross-entropy of `plain_logits`, as autodiff takes it: labels [B]."""
  logits = plain_logits(params, x, inside)
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def plain_logits(
  params: dict, x: jax.Array, inside: jax.Array | None = None
) -> jax.Array:
  """Bi-LSTM, attention, two logits: [B, 2].

  Args:
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


def _lstm(params, x, inside, suffix):
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
