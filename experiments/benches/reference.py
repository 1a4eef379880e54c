"""The answers that every variant is held to, in float64 by `no_library_maml`."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments import no_library_maml
from experiments.benches import workloads
from metalog_jax import types

_NAMES = {
  'weight_ih': 'w_ih',
  'weight_hh': 'w_hh',
  'bias_ih': 'b_ih',
  'bias_hh': 'b_hh',
}


def meta_gradient(
  workload: workloads.Workload, draws: workloads.Draws, order: str
) -> dict[str, np.ndarray]:
  """The meta-gradient of the first task at the first weights."""
  with jax.enable_x64(True):
    support, query = draws.padded(0, trim=False)
    support = jax.tree.map(lambda *x: np.stack(x), *map(batch, support))

    @jax.jit
    def gradient(params, support, query):
      objective = lambda params: no_library_maml.meta_loss(
        params, support, query, workload.inner_lr, workload.beta, order == 'second'
      )
      return jax.grad(objective)(params)

    found = gradient(nested(workloads.params(workload)), support, batch(query))
    return jax.tree.map(np.asarray, flat(found))


def scores(workload: workloads.Workload, data: types.Dataset) -> np.ndarray:
  """Probability of an anomaly of every session, [S]."""
  sessions, vectors = data.sessions, data.vectors
  seqs = workloads.sequences(sessions, 'sequences')
  with jax.enable_x64(True):
    params = nested(workloads.params(workload))
    score = jax.jit(lambda b: jax.nn.softmax(no_library_maml.logits(params, b))[:, 1])
    steps = int(seqs.lengths.max())
    found = []
    for rows in np.array_split(
      np.arange(len(seqs.lengths)), -(-len(seqs.lengths) // 256)
    ):
      events = np.zeros((256, steps), np.int32)
      lengths = np.zeros(256, np.int32)
      lengths[: len(rows)] = seqs.lengths[rows]
      for i, row in enumerate(rows):
        events[i, : lengths[i]] = seqs.events[seqs.offsets[row] : seqs.offsets[row + 1]]
      padded = workloads.Padded(vectors, events, lengths, lengths)
      found.append(np.asarray(score(batch(padded)))[: len(rows)])
  return np.concatenate(found)[seqs.inverse]


def nested(params: dict[str, np.ndarray], dtype=np.float64) -> dict:
  """PyTorch's names to `no_library_maml`'s."""
  layers = 1 + max(int(n.split('_l')[1]) for n in params if n.startswith('gru.'))
  array = lambda name: jnp.asarray(params[name], dtype)
  return {
    'layers': [
      {ours: array(f'gru.{theirs}_l{i}') for theirs, ours in _NAMES.items()}
      for i in range(layers)
    ],
    'w_q': array('attention.w_q'),
    'w_k': array('attention.w_k'),
    'head': array('head.weight'),
  }


def flat(params: dict) -> dict[str, jax.Array]:
  """`no_library_maml`'s names to PyTorch's."""
  layers = {
    f'gru.{theirs}_l{i}': layer[ours]
    for i, layer in enumerate(params['layers'])
    for theirs, ours in _NAMES.items()
  }
  rest = {'attention.w_q': 'w_q', 'attention.w_k': 'w_k', 'head.weight': 'head'}
  return layers | {theirs: params[ours] for theirs, ours in rest.items()}


def batch(rows: workloads.Padded) -> no_library_maml.Batch:
  return no_library_maml.Batch(
    rows.x.astype(np.float64), rows.lengths, rows.labels.astype(np.float64)
  )
