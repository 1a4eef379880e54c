"""MetaLog's meta-step by this library, and by plain flax as a control."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from experiments.benches import ladder, reference, workloads
from experiments.benches.variants import Runner, Variant
from metalog_jax import meta, types
from metalog_jax.batches import sampling
from metalog_jax.detectors import metalog
from metalog_jax.training import base

_PROXIMAL = 1.0  # of 'implicit', which needs a pull to the start
_B1 = 0.9  # of Adam, whose first moment after one step is (1 - _B1) gradient


def detector(workload: workloads.Workload, variant: Variant) -> base.Detector:
  """MetaLog's `paper` preset in the workload's size."""
  config = dataclasses.replace(
    metalog.PRESETS['paper'],
    hidden=workload.hidden,
    layers=workload.layers,
    inner_steps=workload.inner_steps,
    inner_lr=workload.inner_lr,
    target_weight=workload.beta,
    order=variant.order,
    share=variant.sharing,
  )
  if variant.gradient:
    proximal = _PROXIMAL if variant.gradient == 'implicit' else 0.0
    config = dataclasses.replace(config, gradient=variant.gradient, proximal=proximal)
  return metalog.make(config)


def nest(flat: dict[str, np.ndarray]) -> dict:
  """{'gru.bias_ih_l0': x} -> {'gru': {'bias_ih_l0': x}}."""
  tree: dict = {}
  for name, value in flat.items():
    room, leaf = name.split('.')
    tree.setdefault(room, {})[leaf] = jnp.asarray(value)
  return tree


def flatten(tree: dict) -> dict[str, np.ndarray]:
  return {
    f'{room}.{n}': np.asarray(x)
    for room, leaves in tree.items()
    for n, x in leaves.items()
  }


def ours(
  workload: workloads.Workload, variant: Variant, folders: dict[str, str], num: int
) -> Runner:
  """`num` tasks, taken in turn by the detector's own step over all its devices."""
  draws = workloads.Draws(workload, variant.sharing, folders, jax.device_count())
  made = detector(workload, variant)
  tasks = [made.put(draws.task(i)) for i in range(num)]
  state = made.init(jax.random.key(0), types.Transfer((), draws.target))
  params = nest(workloads.params(workload))
  first = jax.tree.map(
    lambda x, old: jax.device_put(x, old.sharding), params, state.params
  )
  return runner(made.step, state._replace(params=first), tasks)


def runner(step, state, tasks) -> Runner:
  """Takes tasks in turn; Adam's first moment after the first tells its gradient."""
  held = {'state': state, 'first': None}

  def run(i: int) -> None:
    held['state'], metrics = step(held['state'], tasks[i % len(tasks)])
    jax.block_until_ready((held['state'], metrics))
    if held['first'] is None:
      moment = optax.tree_utils.tree_get(held['state'].optimizer, 'mu')
      held['first'] = jax.tree.map(lambda m: np.array(m) / (1 - _B1), moment)

  return Runner(run, lambda: flatten(held['first']))


def control(
  workload: workloads.Workload, variant: Variant, folders: dict[str, str], num: int
) -> Runner:
  """Another network in this library's meta-step, reverse over reverse."""
  draws = workloads.Draws(workload, 'nothing', folders)
  make = {'flax': lambda: flax_loss(workload)}
  rung = variant.how.removeprefix('ladder ')
  loss = make.get(variant.how, lambda: ladder.make(rung))()
  optimizer = optax.adam(2e-3, b1=_B1)
  config = meta.MetaConfig(
    workload.inner_lr,
    workload.inner_steps,
    gradient='reverse',
    query_weight=workload.beta,
  )
  step = meta.make_meta_step(loss, optimizer, config)
  tasks = []
  for i in range(num):
    if rung == 'packed':
      task = jax.tree.map(lambda x: x[:, 0], draws.task(i))
    else:
      support, query = draws.padded(i, trim=False)
      task = sampling.stack([types.Task(sampling.stack(support), query)])
    tasks.append(jax.device_put(task))
  state = meta.init_state(nest(workloads.params(workload)), optimizer)
  return runner(step, state, tasks)


def flax_loss(workload: workloads.Workload):
  """What a flax user writes: nn.RNN over padded sessions.

  Its cell has one bias a gate where PyTorch's has two; both are kept as parameters
  here and added up inside the loss, so that gradients can be compared.
  """
  rnns = [nn.RNN(nn.GRUCell(workload.hidden)) for _ in range(workload.layers)]

  def loss(params, batch: workloads.Padded):
    x = batch.vectors[batch.events]
    for i, rnn in enumerate(rnns):
      cell = _flax_cell(params['gru'], i)
      x = rnn.apply({'params': {'cell': cell}}, x, seq_lengths=batch.lengths)
    mask = jnp.arange(x.shape[1]) < batch.lengths[:, None]
    weights = params['attention']
    scores = (x @ weights['w_q'].T) @ (x @ weights['w_k'].T).swapaxes(1, 2)
    attended = jax.nn.softmax(jnp.where(mask[:, None], scores, -1e30), -1) @ x
    context = jnp.where(mask[..., None], attended, 0).sum(1)
    logits = jnp.tanh(context @ params['head']['weight'].T)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)
    return losses.mean()

  return loss


def _flax_cell(gru: dict, layer: int) -> dict:
  """PyTorch's weights of a layer as those of flax's GRUCell."""
  at = lambda name: jnp.split(gru[f'{name}_l{layer}'], 3)
  w_i, w_h, b_i, b_h = map(at, ('weight_ih', 'weight_hh', 'bias_ih', 'bias_hh'))
  return {
    'ir': {'kernel': w_i[0].T, 'bias': b_i[0] + b_h[0]},
    'iz': {'kernel': w_i[1].T, 'bias': b_i[1] + b_h[1]},
    'in': {'kernel': w_i[2].T, 'bias': b_i[2]},
    'hr': {'kernel': w_h[0].T},
    'hz': {'kernel': w_h[1].T},
    'hn': {'kernel': w_h[2].T, 'bias': b_h[2]},
  }


def answers(
  workload: workloads.Workload, variant: Variant, folders: dict[str, str], num: int
) -> Runner:
  """The reference, as a variant that is never timed."""
  draws = workloads.Draws(workload, 'nothing', folders)
  found: dict[str, np.ndarray] = {}

  def run(_: int) -> None:
    found.update(reference.meta_gradient(workload, draws, variant.order))

  return Runner(run, lambda: found)


BUILD = {
  'ours': ours,
  'reference': answers,
  'flax': control,
  **{f'ladder {rung}': control for rung in ladder.RUNGS},
}
