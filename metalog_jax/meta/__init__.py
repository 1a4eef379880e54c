"""Meta-learning with exact meta-gradients, for any `loss_fn(params, batch)`."""

from metalog_jax.meta.inner import MetaConfig, adapt, path
from metalog_jax.meta.outer import (
  State,
  choose,
  init_state,
  make_meta_step,
  meta_grad,
  meta_loss,
)

__all__ = [
  'MetaConfig',
  'State',
  'adapt',
  'choose',
  'init_state',
  'make_meta_step',
  'meta_grad',
  'meta_loss',
  'path',
]
