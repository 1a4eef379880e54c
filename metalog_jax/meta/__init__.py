"""Meta-learning with exact meta-gradients, for any `loss_fn(params, batch)`.

MAML (Finn et al, ICML 2017) on sinusoids of random amplitude and phase:

  >>> import jax, jax.numpy as jnp, optax
  >>> from metalog_jax import meta
  >>> def loss_fn(params, batch):  # any loss over any pytree of parameters
  ...   hidden = jnp.tanh(batch['x'] * params['w'] + params['b'])  # [10, 40]
  ...   return jnp.mean((hidden @ params['v'] - batch['y']) ** 2)
  >>> def task(key):  # ten points to adapt to, and ten to be judged on
  ...   amplitude, phase, *x = jax.random.uniform(key, 22)
  ...   x = 10 * jnp.array(x).reshape(2, 10, 1) - 5
  ...   points = {'x': x, 'y': (4 * amplitude + 1) * jnp.sin(x - 3 * phase)[..., 0]}
  ...   return meta.Task(*[jax.tree.map(lambda x: x[i], points) for i in range(2)])
  >>> tasks = jax.vmap(task)(jax.random.split(jax.random.key(0), 25))
  >>> w, b, v = jax.random.normal(jax.random.key(1), (3, 40))
  >>> params = {'w': w, 'b': b, 'v': v / 40}
  >>> config = meta.MetaConfig(inner_lr=0.01, inner_steps=5)
  >>> grads = meta.meta_grad(loss_fn, params, task(jax.random.key(2)), config)
  >>> optimizer = optax.adam(0.01)
  >>> step = meta.make_meta_step(loss_fn, optimizer, config)
  >>> state, losses = meta.init_state(params, optimizer), []
  >>> for _ in range(100):
  ...   state, metrics = step(state, tasks)
  ...   losses.append(float(metrics['loss']))
  >>> losses[-1] < losses[0] / 2
  True

With hyperparameters a loss is `loss_fn(params, hyper, batch)`, and `wrt` says what is
learned. Here the weight decay and the inner rate, while the initial weights stay:

  >>> def decayed(params, hyper, batch):
  ...   squares = sum(jnp.sum(p**2) for p in jax.tree.leaves(params))
  ...   return loss_fn(params, batch) + hyper['decay'] * squares
  >>> config = meta.MetaConfig(rule=lambda hyper: optax.sgd(hyper['rate']))
  >>> hyper = {'decay': jnp.array(0.1), 'rate': jnp.array(0.01)}
  >>> value, grads = meta.value_and_meta_grad(
  ...   decayed, params, task(jax.random.key(2)), config, hyper=hyper, wrt='hyper')
  >>> sorted(grads)
  ['decay', 'rate']

`adapt` takes the inner steps alone; `gradients` lists the modes of the meta-gradient,
`rules` the inner rules, `mesh` how steps run over devices, `costs` what they cost.
"""

from metalog_jax.meta.config import MetaConfig
from metalog_jax.meta.inner import adapt, path
from metalog_jax.meta.objective import meta_grad, meta_loss, value_and_meta_grad
from metalog_jax.meta.outer import (
  HyperState,
  State,
  choose,
  init_state,
  make_meta_step,
)
from metalog_jax.types import Task

__all__ = [
  'HyperState',
  'MetaConfig',
  'State',
  'Task',
  'adapt',
  'choose',
  'init_state',
  'make_meta_step',
  'meta_grad',
  'meta_loss',
  'path',
  'value_and_meta_grad',
]
