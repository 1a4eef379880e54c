"""The recipes of the documentation: linen, nnx, equinox, and models with a state."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from metalog_jax import meta
from tests import grids

CONFIG = meta.MetaConfig(inner_lr=0.1, inner_steps=2)
RNG = np.random.default_rng(0)


def points(*lead):
  x = RNG.normal(size=(*lead, 6, 3))
  return x, np.sin(x.sum(-1))


TASKS = meta.Task(points(2), points(2))
KERNELS = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 1))
BIASES = RNG.normal(size=4), RNG.normal(size=1)


def by_hand():
  """A pytree that is none of a framework's: a list of pairs."""

  def loss_fn(params, batch):
    (w, b), (v, c) = params
    return jnp.mean(((jnp.tanh(batch[0] @ w + b) @ v + c)[:, 0] - batch[1]) ** 2)

  return loss_fn, list(zip(map(jnp.asarray, KERNELS), map(jnp.asarray, BIASES)))


class Linen(nn.Module):
  @nn.compact
  def __call__(self, x):
    x = jnp.tanh(nn.Dense(4)(x))
    return nn.Dense(1)(x)[:, 0]


def linen():
  model = Linen()

  def loss_fn(params, batch):
    return jnp.mean((model.apply({'params': params}, batch[0]) - batch[1]) ** 2)

  layers = zip(KERNELS, BIASES, strict=True)
  return loss_fn, {
    f'Dense_{i}': {'kernel': jnp.asarray(w), 'bias': jnp.asarray(b)}
    for i, (w, b) in enumerate(layers)
  }


class Nnx(nnx.Module):
  def __init__(self, rngs):
    self.first, self.last = nnx.Linear(3, 4, rngs=rngs), nnx.Linear(4, 1, rngs=rngs)

  def __call__(self, x):
    return self.last(jnp.tanh(self.first(x)))[:, 0]


def flax_nnx():
  model = Nnx(nnx.Rngs(0))
  for layer, w, b in zip((model.first, model.last), KERNELS, BIASES, strict=True):
    layer.kernel, layer.bias = nnx.Param(jnp.asarray(w)), nnx.Param(jnp.asarray(b))
  graph, params, rest = nnx.split(model, nnx.Param, ...)

  def loss_fn(params, batch):
    model = nnx.merge(graph, params, rest, copy=True)
    return jnp.mean((model(batch[0]) - batch[1]) ** 2)

  return loss_fn, params


def equinox():
  eqx = pytest.importorskip('equinox')
  model = eqx.nn.MLP(3, 1, 4, 1, activation=jnp.tanh, key=jax.random.key(0))
  values = [x for w, b in zip(KERNELS, BIASES, strict=True) for x in (w.T, b)]
  model = eqx.tree_at(
    lambda m: [x for layer in m.layers for x in (layer.weight, layer.bias)],
    model,
    [jnp.asarray(x) for x in values],
  )
  params, static = eqx.partition(model, eqx.is_inexact_array)

  def loss_fn(params, batch):
    model = eqx.combine(params, static)
    return jnp.mean((jax.vmap(model)(batch[0])[:, 0] - batch[1]) ** 2)

  return loss_fn, params


@pytest.mark.parametrize('recipe', [linen, flax_nnx, equinox])
def test_every_framework_takes_the_same_step(recipe):
  def stepped(loss_fn, params):
    optimizer = optax.sgd(0.1)
    state = meta.init_state(params, optimizer)
    state, metrics = meta.make_meta_step(loss_fn, optimizer, CONFIG)(state, TASKS)
    assert jax.tree.structure(state.params) == jax.tree.structure(params)
    return state.params, metrics['loss']

  params, value = stepped(*recipe())
  expected, loss = stepped(*by_hand())
  assert abs(value - loss) < 1e-12
  total = lambda tree: sum(jnp.sum(x**2) for x in jax.tree.leaves(tree))
  assert abs(total(params) - total(expected)) < 1e-12


class Normalized(nn.Module):
  @nn.compact
  def __call__(self, x, train=True):
    x = nn.Dense(4)(x)
    x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
    return nn.Dense(1)(jnp.tanh(x))[:, 0]


def test_batch_statistics_go_in_by_hyper_and_come_out_by_aux():
  """Adapted by the statistics of the batch, which nothing is learned in."""
  model = Normalized()
  variables = model.init(jax.random.key(0), points()[0])

  def loss_fn(params, state, batch):
    out, changed = model.apply(
      {'params': params, 'batch_stats': state}, batch[0], mutable=['batch_stats']
    )
    return jnp.mean((out - batch[1]) ** 2), changed['batch_stats']

  optimizer = optax.adam(1e-2)
  step = meta.make_meta_step(loss_fn, optimizer, CONFIG, has_aux=True)
  first = variables['batch_stats']
  state = meta.init_state(variables['params'], optimizer, hyper=first)
  losses = []
  for _ in range(30):
    state, metrics = step(state, TASKS)
    state = state._replace(hyper=metrics['aux'])
    losses.append(float(metrics['loss']))
  assert losses[-1] < losses[0]
  start = variables['params']
  adapt = lambda s: meta.adapt(loss_fn, start, s, CONFIG, hyper=first, has_aux=True)[
    'Dense_0'
  ]
  once = meta.make_meta_step(loss_fn, optimizer, CONFIG, has_aux=True)(
    meta.init_state(start, optimizer, hyper=first), TASKS
  )[1]['aux']
  each = []
  for i in range(2):
    layer = adapt(jax.tree.map(lambda x: x[i], TASKS.support))  # noqa: B023
    each.append((TASKS.query[0][i] @ layer['kernel'] + layer['bias']).mean(0))
  expected = 0.1 * np.mean(each, 0)  # from zero, with a momentum of 0.9
  np.testing.assert_allclose(once['BatchNorm_0']['mean'], expected, atol=1e-6)
  assert grids.difference(state.hyper, first) > 1e-2
