"""MetaLog (Zhang et al, ICSE 2024, Eq. 2-4) in jax alone, before it is made fast."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Batch(NamedTuple):
  x: jax.Array  # [B, L, D] event vectors, zeros behind the end
  lengths: jax.Array  # [B] events in each session
  labels: jax.Array  # [B] 1 is an anomaly


def gru_layer(p, x):  # as in PyTorch: [B, L, D] -> [B, L, H]
  def cell(h, x):
    x_r, x_z, x_n = jnp.split(x @ p['w_ih'].T + p['b_ih'], 3, -1)
    h_r, h_z, h_n = jnp.split(h @ p['w_hh'].T + p['b_hh'], 3, -1)
    r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    h = (1 - z) * jnp.tanh(x_n + r * h_n) + z * h
    return h, h

  h = jnp.zeros((len(x), p['w_hh'].shape[1]), x.dtype)
  return jax.lax.scan(cell, h, x.swapaxes(0, 1))[1].swapaxes(0, 1)


def logits(params, batch):
  """GRU, attention (Eq. 4), bounded head: [B, 2]."""
  a = batch.x
  for layer in params['layers']:
    a = gru_layer(layer, a)
  mask = jnp.arange(a.shape[1]) < batch.lengths[:, None]
  scores = (a @ params['w_q'].T) @ (a @ params['w_k'].T).swapaxes(1, 2)  # [B, L, L]
  attention = jax.nn.softmax(jnp.where(mask[:, None], scores, -1e30), -1)
  context = jnp.where(mask[..., None], attention @ a, 0).sum(1)
  return jnp.tanh(context @ params['head'].T)


def loss(params, batch):
  log_p = jax.nn.log_softmax(logits(params, batch))
  return -jnp.where(batch.labels > 0, log_p[:, 1], log_p[:, 0]).mean()


def meta_loss(params, support, query, inner_lr=2e-3, beta=4.0, exact=True):
  """Eq. 2 and 3; `support` has a leading axis: one batch for each inner step."""

  def inner_step(adapted, batch):
    grads = jax.grad(loss)(adapted, batch)
    grads = grads if exact else jax.lax.stop_gradient(grads)
    return jax.tree.map(lambda p, g: p - inner_lr * g, adapted, grads), None

  support_loss = jax.vmap(loss, (None, 0))(params, support).mean()
  adapted, _ = jax.lax.scan(inner_step, params, support)
  return support_loss + beta * loss(adapted, query)


@jax.jit
def meta_step(params, m, v, t, support, query, lr=2e-3):
  """One step of Adam on the exact meta-gradient, second derivatives and all."""
  value, grads = jax.value_and_grad(meta_loss)(params, support, query)
  m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
  v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
  lr /= 1 - 0.9**t
  adam = lambda p, m, v: p - lr * m / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
  return jax.tree.map(adam, params, m, v), m, v, value


if __name__ == '__main__':
  keys = iter(jax.random.split(jax.random.key(0), 20))
  weight = lambda *shape: jax.random.uniform(next(keys), shape, minval=-0.3, maxval=0.3)
  gru = {'w_ih': (24, 8), 'w_hh': (24, 8), 'b_ih': (24,), 'b_hh': (24,)}
  params = {'layers': [{name: weight(*gru[name]) for name in gru} for _ in range(2)]}
  params |= {'w_q': weight(8, 8), 'w_k': weight(8, 8), 'head': weight(2, 8)}
  x = weight(6, 32, 10, 8).at[:, 1::2, 5, 0].add(2)  # anomalies have an odd event
  toy = Batch(x, jnp.full((6, 32), 10), jnp.tile(jnp.arange(32) % 2, (6, 1)))
  support, query = jax.tree.map(lambda a: a[:5], toy), jax.tree.map(lambda a: a[5], toy)
  m = v = jax.tree.map(jnp.zeros_like, params)
  for t in range(1, 21):
    params, m, v, value = meta_step(params, m, v, t, support, query, lr=0.02)
    print(f'step {t}: meta-loss {value:.4f}')
