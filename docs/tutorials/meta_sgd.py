# %% [markdown]
# # Meta-SGD: a rate for every parameter
#
# Which parameters should move when a task is new, how far, and in which direction?
# Meta-SGD (Li et al, 2017) learns a rate for each of them together with the initial
# parameters. Here the rates are hyperparameters: the inner rule is a function of
# them, and `wrt='both'` learns both.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from metalog_jax import meta
from metalog_jax.meta import rules


def draw_task(key):
  keys = jax.random.split(key, 2)
  amplitude, phase = jax.random.uniform(keys[0], 2) * jnp.array(
    [4.9, jnp.pi]
  ) + jnp.array([0.1, 0])
  x = jax.random.uniform(keys[1], (2, 10, 1), minval=-5, maxval=5)
  y = amplitude * jnp.sin(x - phase)
  return meta.Task((x[0], y[0]), (x[1], y[1]))


draw_tasks = jax.jit(lambda key: jax.vmap(draw_task)(jax.random.split(key, 25)))


def loss_fn(params, hyper, batch):
  del hyper  # of the rule alone
  hidden = jax.nn.relu(batch[0] @ params['w'] + params['b'])
  hidden = jax.nn.relu(hidden @ params['u'] + params['c'])
  return jnp.mean((hidden @ params['v'] + params['d'] - batch[1]) ** 2)


def init(seed):
  rng = np.random.default_rng(seed)
  draw = lambda *shape: jnp.float32(rng.normal(size=shape) / np.sqrt(shape[0]) / 2)
  biases = {'b': jnp.zeros(40), 'c': jnp.zeros(40), 'd': jnp.zeros(1)}
  return {'w': draw(1, 40), 'u': draw(40, 40), 'v': draw(40, 1), **biases}


# %% [markdown]
# `rules.sgd` takes one rate, or a pytree of rates like the parameters. All are 0.01
# at first.

# %%
STEPS = 400
optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, STEPS))
held_out = jax.vmap(draw_task)(jax.random.split(jax.random.key(7), 300))


def train(order, wrt, seed):
  config = meta.MetaConfig(
    inner_steps=1, rule=rules.sgd, order=order, tasks='side_by_side'
  )
  params = init(seed)
  rates = jax.tree.map(lambda p: jnp.full(p.shape, 0.01), params)
  step = meta.make_meta_step(loss_fn, optimizer, config, wrt=wrt)
  state = meta.init_state(params, optimizer, hyper=rates, wrt=wrt)
  for key in jax.random.split(jax.random.key(seed), STEPS):
    state, _ = step(state, draw_tasks(key))
  judge = lambda task: meta.meta_loss(
    loss_fn, state.params, task, config, hyper=state.hyper
  )
  return state, float(jax.jit(jax.vmap(judge))(held_out).mean())


states, losses = {}, {}
for order, name in (('second', 'exact'), ('first', 'first order')):
  for wrt, what in (('params', 'one rate'), ('both', 'a rate each')):
    runs = [train(order, wrt, seed) for seed in range(2)]
    states[name, what], losses[name, what] = runs[0][0], [loss for _, loss in runs]
    seeds = '  '.join(f'{loss:.3f}' for _, loss in runs)
    print(f"{name:12s} {what:12s} query's loss after one step, by seed: {seeds}")
assert np.mean(losses['exact', 'a rate each']) < np.mean(losses['exact', 'one rate'])

# %%
rates = states['exact', 'a rate each'].hyper
figure, ax = plt.subplots(figsize=(5, 3))
ax.boxplot([np.ravel(rates[k]) for k in 'wbucvd'], tick_labels=list('wbucvd'))
ax.axhline(0.01, ls=':', color='k')
ax.set(xlabel='parameter', ylabel='learned rate')

# %% [markdown]
# **When does exact matter here?** First order still has a gradient in the rates,
# since they scale the updates themselves: what it drops is how the inner gradients
# turn when the parameters do. The table says what that costs.
