# %% [markdown]
# # Implicit against unrolled
#
# If the inner problem is solved, its solution does not depend on the way there, and
# neither need its derivative: implicit differentiation (iMAML, Rajeswaran et al,
# NeurIPS 2019) keeps nothing of the inner loop and solves a linear system with the
# Hessian instead. If the inner problem is *not* solved, it answers another question
# than the one that was asked.

# %%
import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn import datasets

from metalog_jax import meta

jax.config.update('jax_enable_x64', True)
images, digits = datasets.load_digits(return_X_y=True)
images = images / 16
batch = lambda rows: (images[rows], digits[rows])
task = meta.Task(batch(slice(0, 60)), batch(slice(60, 160)))
rng = np.random.default_rng(0)
params = {'w': rng.normal(size=(64, 10)) / 8, 'b': np.zeros(10)}


def loss_fn(params, batch):
  logits = batch[0] @ params['w'] + params['b']
  return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(batch[1])), batch[1]])


# %% [markdown]
# The inner problem of both: the loss on 60 digits plus λ/2 ‖θ − θ₀‖² (`proximal`),
# which makes it strongly convex. The truth is the gradient after so many steps that
# nothing moves any more.


# %%
def measured(steps, **change):
  config = meta.MetaConfig(inner_lr=0.5, inner_steps=steps, proximal=0.1, **change)
  take = jax.jit(lambda p: meta.meta_grad(loss_fn, p, task, config))
  compiled = take.lower(params).compile()
  seconds = []
  for _ in range(3):
    begin = time.perf_counter()
    grads = jax.block_until_ready(compiled(params))
    seconds.append(time.perf_counter() - begin)
  flat = jnp.concatenate([g.ravel() for g in jax.tree.leaves(grads)])
  return flat, compiled.memory_analysis().temp_size_in_bytes / 2**20, min(seconds)


truth, *_ = measured(2000)
ways = {
  'unrolled': {},
  'implicit': {'gradient': 'implicit', 'cg_steps': 50, 'cg_tol': 1e-12},
  'first order': {'order': 'first'},
}
counts = [1, 3, 10, 30, 100, 300]
rows = {name: [measured(k, **change) for k in counts] for name, change in ways.items()}
error = lambda flat: float(jnp.linalg.norm(flat - truth) / jnp.linalg.norm(truth))
print('error / MiB / ms', *(f'{k:>20d}' for k in counts))
for name, line in rows.items():
  cells = (f'{error(g):8.0e} {mib:5.2f} {1e3 * s:5.1f}' for g, mib, s in line)
  print(f'{name:16s}', *cells)
assert error(rows['implicit'][-1][0]) < 1e-6 < error(rows['first order'][-1][0])

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout='constrained')
for name, line in rows.items():
  axes[0].loglog(counts, [error(g) for g, *_ in line], marker='.', label=name)
  axes[1].loglog(counts, [mib for _, mib, _ in line], marker='.', label=name)
axes[0].set(xlabel='inner steps', ylabel='distance from the solved problem')
axes[1].set(xlabel='inner steps', ylabel='memory, MiB')
axes[0].legend(frameon=False)

# %% [markdown]
# **When does exact matter here?** First order stays as far away as it was, however
# long the inner loop. Unrolled is always the exact gradient *of the steps that were
# taken*; implicit is the exact gradient *of the solved problem*, and close to it only
# once the inner loop is. With few steps take `mixed`; with long loops that converge,
# `implicit`; with long loops that do not, `mixed` in segments
# (`MetaConfig.segments`).
