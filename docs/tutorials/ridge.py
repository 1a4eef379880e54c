# %% [markdown]
# # Ridge regression: a hyperparameter's gradient in closed form
#
# The penalty of ridge regression is the oldest hyperparameter there is, and its
# gradient is known: with A = XᵀX/n + e^λ I and θ* = A⁻¹Xᵀy/n, the validation loss V
# changes by −e^λ ∇V(θ*)ᵀ A⁻¹ θ*. So every way to take a hyper-gradient can be held
# against the truth.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn import datasets

from metalog_jax import meta

jax.config.update('jax_enable_x64', True)
x, y = datasets.load_diabetes(return_X_y=True)
x, y = x / x.std(0), (y - y.mean()) / y.std()
rng = np.random.default_rng(0)
rows = rng.permutation(len(y))
fit, validate = rows[:30], rows[30:200]
noise = rng.normal(size=(len(y), 10))  # ten columns that say nothing
x = np.concatenate([x, noise], 1)
task = meta.Task((x[fit], y[fit], 1.0), (x[validate], y[validate], 0.0))


def loss_fn(params, hyper, batch):
  x, y, penalized = batch
  penalty = penalized * jnp.exp(hyper) * jnp.sum(params**2) / 2
  return jnp.mean((x @ params - y) ** 2) / 2 + penalty


def closed_form(hyper):
  x, y, _ = task.support
  a = x.T @ x / len(y) + np.exp(hyper) * np.eye(20)
  best = np.linalg.solve(a, x.T @ y / len(y))
  x, y, _ = task.query
  slope = x.T @ (x @ best - y) / len(y)
  value = np.mean((x @ best - y) ** 2) / 2
  return value, -np.exp(hyper) * slope @ np.linalg.solve(a, best)


# %% [markdown]
# Unrolled gradient descent, exact through all of its steps, reaches the closed form
# as the inner problem is solved.

# %%
start = jnp.zeros(20)


def unrolled(hyper, steps, **change):
  config = meta.MetaConfig(inner_lr=0.15, inner_steps=steps, **change)
  grad = lambda h: meta.value_and_meta_grad(
    loss_fn, start, task, config, hyper=h, wrt='hyper'
  )
  return jax.jit(grad)(hyper)


HYPER = -1.0
truth = closed_form(HYPER)[1]
counts = [1, 3, 10, 30, 100, 300, 1000]
error = lambda g: abs(float(g) / truth - 1)
errors = {'exact': [error(unrolled(HYPER, k)[1]) for k in counts]}
for last in (1, 10):
  change = {'gradient': 'truncated', 'truncate': last}
  errors[f'last {last}'] = [error(unrolled(HYPER, k, **change)[1]) for k in counts]
print('inner steps      ', *(f'{k:8d}' for k in counts))
for name, line in errors.items():
  print(f'{name:16s}', *(f'{e:8.0e}' for e in line))
assert errors['exact'][-1] < 1e-10

# %% [markdown]
# And the penalty itself, by 200 steps of Adam on λ, beside the best of a fine grid:

# %%
optimizer = optax.adam(optax.cosine_decay_schedule(0.3, 200))
config = meta.MetaConfig(inner_lr=0.15, inner_steps=300)
step = meta.make_meta_step(loss_fn, optimizer, config, wrt='hyper')
state = meta.init_state(start, optimizer, hyper=jnp.array(-4.0), wrt='hyper')
path = [float(state.hyper)]
for _ in range(200):
  state, metrics = step(state, jax.tree.map(lambda leaf: np.asarray(leaf)[None], task))
  path.append(float(state.hyper))
grid = np.linspace(-5, 3, 801)
values = np.array([closed_form(h)[0] for h in grid])
print(f'learned λ = {path[-1]:.3f}, best of the grid {grid[values.argmin()]:.3f}')
assert abs(path[-1] - grid[values.argmin()]) < 0.05

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout='constrained')
for name, line in errors.items():
  axes[0].loglog(counts, line, marker='.', label=name)
axes[0].set(xlabel='inner steps', ylabel='relative error of the gradient')
axes[0].legend(frameon=False)
axes[1].plot(grid, values)
axes[1].plot(path, [closed_form(h)[0] for h in path], '.', color='tab:red')
axes[1].set(xlabel='λ', ylabel='validation loss')

# %% [markdown]
# **When does exact matter here?** Always: first order has no gradient in λ at all.
# The truncated gradient is a fixed share of the truth short, however long the inner
# loop: one step sees the penalty act once.
