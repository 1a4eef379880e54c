"""Losses over batches whose rows stand for many sessions."""

import jax
import jax.numpy as jnp

from metalog_jax import types

Array = types.Array


def cross_entropy(
  logits: Array, labels: Array, weights: Array, axis: str | None = None
) -> Array:
  """Weighted mean cross-entropy: Σ wᵢ CEᵢ / Σ wᵢ.

  A row of weight w counts exactly as w equal rows of weight 1, so equal sessions
  enter once. The released code's binary cross-entropy over both columns of the
  softmax is the same number.

  Args:
    logits: [B, 2], normal and anomalous.
    labels: [B] in [0, 1]; between them where a label is an estimate.
    weights: [B] >= 0; all zero gives a loss of zero.
    axis: name of the mesh axis that the batch's rows are dealt along.
  """
  log_p = jax.nn.log_softmax(logits)
  losses = -(1 - labels) * log_p[:, 0] - labels * log_p[:, 1]
  add = (lambda x: jax.lax.psum(x, axis)) if axis else lambda x: x
  total = add(weights.sum())
  return add(weights @ losses) / jnp.where(total > 0, total, 1)
