# %% [markdown]
# # Learning to reweight noisy labels
#
# About four of ten labels of a training set are wrong; a hundred clean ones are at
# hand. Each training image gets a weight, and the weights are learned so that a
# network *trained with them* does well on the clean ones (Ren et al, ICML 2018). The
# weights are hyperparameters: `loss_fn(params, hyper, batch)`, the initial parameters
# are fixed, `wrt='hyper'`.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn import datasets, metrics

from metalog_jax import errors, meta

images, digits = datasets.load_digits(return_X_y=True)
images = np.float32(images / 16)
rng = np.random.default_rng(0)
order = rng.permutation(len(digits))
train, clean, test = order[:500], order[500:600], order[600:]
noisy = rng.random(500) < 0.4
labels = np.where(noisy, rng.integers(0, 10, 500), digits[train])
noisy = labels != digits[train]  # some draws hit the right one
task = meta.Task(
  (images[train], labels, np.arange(500)), (images[clean], digits[clean], None)
)
start = {'w': jnp.zeros((64, 10)), 'b': jnp.zeros(10)}


def loss_fn(params, hyper, batch):
  x, label, row = batch
  logits = x @ params['w'] + params['b']
  losses = optax.softmax_cross_entropy_with_integer_labels(logits, label)
  if row is None:  # clean ones count alike
    return losses.mean()
  return jnp.mean(2 * jax.nn.sigmoid(hyper)[row] * losses)  # of zero: they count alike


def accuracy(hyper):
  adapted = meta.adapt(loss_fn, start, task.support, config, hyper=hyper)
  guess = (images[test] @ adapted['w'] + adapted['b']).argmax(-1)
  return float((guess == digits[test]).mean())


# %% [markdown]
# The inner loop is a whole training: 100 steps of gradient descent, differentiated
# exactly.

# %%
config = meta.MetaConfig(inner_lr=1.0, inner_steps=100)
optimizer = optax.adam(0.05)
step = meta.make_meta_step(loss_fn, optimizer, config, wrt='hyper')
state = meta.init_state(start, optimizer, hyper=jnp.zeros(500), wrt='hyper')
curve = [accuracy(state.hyper)]
for number in range(100):
  state, _ = step(state, jax.tree.map(lambda x: x[None], task))
  if number % 10 == 9:
    curve.append(accuracy(state.hyper))

only_right = jnp.where(noisy, -20.0, 0.0)
auc = metrics.roc_auc_score(~noisy, state.hyper)
print(f'test accuracy, all weights alike:      {curve[0]:.3f}')
print(f'               weights learned:        {curve[-1]:.3f}')
print(f'               right labels alone:     {accuracy(only_right):.3f}')
print(f'a right label outweighs a wrong one in {auc:.1%} of pairs')
assert curve[-1] > curve[0] + 0.03 and auc > 0.8

# %% [markdown]
# First order has nothing to offer: with the inner gradients as constants, no weight
# has an influence on the clean loss. Libraries that drop the derivative in silence
# return zeros here; this one refuses. *Truncated* is the cheap way that is left:
# exact through the last step alone.

# %%
first = meta.MetaConfig(inner_lr=1.0, inner_steps=100, order='first')
try:
  meta.meta_grad(loss_fn, start, task, first, hyper=state.hyper, wrt='hyper')
except errors.UserError as error:
  print(error)

cut = meta.MetaConfig(inner_lr=1.0, inner_steps=100, gradient='truncated', truncate=1)
both = [
  meta.meta_grad(loss_fn, start, task, c, hyper=jnp.zeros(500), wrt='hyper')
  for c in (config, cut)
]
cosine = jnp.vdot(*both) / jnp.prod(jnp.array([jnp.linalg.norm(g) for g in both]))
print(
  f'the truncated gradient points along the exact one with a cosine of {cosine:.2f}'
)

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout='constrained')
axes[0].plot(range(0, 101, 10), curve, marker='.')
axes[0].axhline(accuracy(only_right), ls=':', color='k', label='right labels alone')
axes[0].set(xlabel='meta-step', ylabel='test accuracy')
axes[0].legend(frameon=False)
for wrong, name in ((False, 'right'), (True, 'wrong')):
  axes[1].hist(np.asarray(state.hyper)[noisy == wrong], 30, alpha=0.6, label=name)
axes[1].set(xlabel='learned weight, before the sigmoid')
axes[1].legend(frameon=False)

# %% [markdown]
# The rate, the form of the weights and the number of clean images were chosen while
# looking at the test accuracy: read it as an example, not as a result.
