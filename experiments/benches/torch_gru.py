"""MetaLog's meta-step and scores as PyTorch users would write them."""

from collections.abc import Callable

import numpy as np
import torch

from experiments.benches import torch_rewritten, workloads
from experiments.benches.torch_network import Net, adam, tensors
from experiments.benches.variants import Runner, Variant
from metalog_jax import types


def _loss(net: torch.nn.Module, params: dict, batch) -> torch.Tensor:
  return batch.loss(torch.func.functional_call(net, params, (batch,)))


def _create_graph(workload, net, variant) -> Callable:
  """Makes backward(support, query), which leaves the meta-gradient in the net.

  It takes autograd.grad through every inner step; first order without the graph.
  """
  params = dict(net.named_parameters())

  def backward(support, query):
    for batch in support:
      (_loss(net, params, batch) / len(support)).backward()
    adapted = params
    for batch in support:
      value = _loss(net, adapted, batch)
      grads = torch.autograd.grad(
        value, list(adapted.values()), create_graph=variant.order == 'second'
      )
      adapted = {
        n: p - workload.inner_lr * g for (n, p), g in zip(adapted.items(), grads)
      }
    (workload.beta * _loss(net, adapted, query)).backward()

  return backward


def meta_step(
  workload: workloads.Workload, variant: Variant, folders: dict[str, str], num: int
) -> Runner:
  """`num` tasks, each a step of Adam on its meta-gradient, taken in turn."""
  if variant.how == 'rewritten':
    net, tasks = torch_rewritten.network(workload, variant, folders, num)
  else:
    net = Net(workload, 'packed' in variant.how)
    draws = workloads.Draws(workload, 'nothing', folders)
    padded = (draws.padded(i, trim=True) for i in range(num))
    tasks = [(list(map(tensors, support)), tensors(query)) for support, query in padded]
  backward = _create_graph(workload, net, variant)
  return adam(dict(net.named_parameters()), backward, tasks)


def scorer(
  workload: workloads.Workload, variant: Variant, data: types.Dataset
) -> Callable[[], np.ndarray]:
  """Makes score() -> [S], probabilities of an anomaly in batches of like length."""
  net = Net(workload, 'packed' in variant.how).eval()
  size = int(variant.how.split()[1])
  vectors = torch.from_numpy(data.vectors)

  def score() -> np.ndarray:
    seqs = workloads.sequences(data.sessions, variant.sharing)
    order = np.argsort(-seqs.lengths, kind='stable')
    scores = np.zeros(len(order))
    for start in range(0, len(order), size):
      rows = order[start : start + size]
      steps = seqs.lengths[rows[0]]
      batch = tensors(workloads.pad_sequences(data.vectors, seqs, rows, steps))
      with torch.inference_mode():
        logits = net(batch._replace(vectors=vectors))
        scores[rows] = torch.softmax(logits, -1)[:, 1].numpy()
    return scores[seqs.inverse]

  return score
