"""The answers that every variant is held to, in float64 by `no_library_maml`."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments import no_library_maml
from experiments.benches import variants, workloads
from metalog_jax import types

_NAMES = {
  'weight_ih': 'w_ih',
  'weight_hh': 'w_hh',
  'bias_ih': 'b_ih',
  'bias_hh': 'b_hh',
}


def runner(
  workload: workloads.Workload, draws: workloads.Draws, order: str
) -> variants.Runner:
  """The meta-gradient of the first task at the first weights; never timed."""
  answer: dict[str, np.ndarray] = {}

  def run(_: int) -> None:
    with jax.enable_x64(True):
      support, query = draws.padded(0, trim=False)
      support = jax.tree.map(lambda *x: np.stack(x), *map(batch, support))

      @jax.jit
      def gradient(params, support, query):
        objective = lambda params: no_library_maml.meta_loss(
          params, support, query, workload.inner_lr, workload.beta, order == 'second'
        )
        return jax.grad(objective)(params)

      grads = gradient(nested(workloads.params(workload)), support, batch(query))
      answer.update(jax.tree.map(np.asarray, flat(grads)))

  return variants.Runner(run, lambda: answer)


def scorer(
  workload: workloads.Workload, variant: variants.Variant, data: types.Dataset
) -> Callable[[types.Sessions], np.ndarray]:
  """Makes score(sessions) -> [S], the probability of an anomaly of each."""
  del variant
  size = 256

  def score(sessions: types.Sessions) -> np.ndarray:
    rows = workloads.sequences(sessions, 'sequences')
    every = np.arange(len(rows.lengths))
    with jax.enable_x64(True):
      params = nested(workloads.params(workload))
      logits = jax.jit(functools.partial(no_library_maml.logits, params))
      parts = []
      for chosen in np.array_split(every, -(-len(every) // size)):
        padded = np.pad(chosen, (0, size - len(chosen)))  # one shape to compile
        one = workloads.pad_sequences(
          data.vectors, rows, padded, int(rows.lengths.max())
        )
        scores = jax.nn.softmax(logits(batch(one)))[:, 1]
        parts.append(np.asarray(scores)[: len(chosen)])
    return np.concatenate(parts)[rows.inverse]

  return score


def nested(params: dict[str, np.ndarray]) -> dict:
  """PyTorch's names to `no_library_maml`'s."""
  layers = 1 + max(int(n.split('_l')[1]) for n in params if n.startswith('gru.'))
  array = lambda name: jnp.asarray(params[name], np.float64)
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
  """In float64, as `no_library_maml` takes it."""
  return no_library_maml.Batch(
    rows.x.astype(np.float64), rows.lengths, rows.labels.astype(np.float64)
  )
