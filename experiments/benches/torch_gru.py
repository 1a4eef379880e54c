"""MetaLog's meta-step as PyTorch users would write it, and with their libraries."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from experiments.benches import torch_rewritten, workloads
from experiments.benches.torch_network import Batch, Net, adam, tensors
from experiments.benches.variants import Absent, Runner, Variant
from metalog_jax import types

Backward = Callable[[list, Any], None]  # (support, query): leaves gradients in the net


def _loss(net: Callable, batch) -> torch.Tensor:
  return batch.loss(net(batch))


def _call(net: nn.Module, params: dict) -> Callable:
  return lambda batch: torch.func.functional_call(net, params, (batch,))


def _create_graph(workload, net, variant) -> Backward:
  """autograd.grad through every inner step; first order without the graph."""
  params = dict(net.named_parameters())

  def backward(support, query):
    for batch in support:
      (_loss(_call(net, params), batch) / len(support)).backward()
    adapted = params
    for batch in support:
      value = _loss(_call(net, adapted), batch)
      grads = torch.autograd.grad(
        value, list(adapted.values()), create_graph=variant.order == 'second'
      )
      adapted = {
        n: p - workload.inner_lr * g for (n, p), g in zip(adapted.items(), grads)
      }
    (workload.beta * _loss(_call(net, adapted), query)).backward()

  return backward


def _functional(workload, net, variant) -> Backward:
  """torch.func: grad of grad, vmap over the support's batches."""
  grad, vmap = torch.func.grad, torch.func.vmap

  def objective(params, support, query):
    at = lambda params, batch: _loss(_call(net, params), batch)
    total = vmap(at, (None, 0))(params, support).mean()
    adapted = params
    for i in range(workload.inner_steps):
      grads = grad(at)(adapted, Batch(*(x[i] for x in support)))
      adapted = {n: p - workload.inner_lr * grads[n] for n, p in adapted.items()}
    return total + workload.beta * at(adapted, query)

  gradient = grad(objective)

  def backward(support, query):
    params = {n: p.detach() for n, p in net.named_parameters()}
    grads = gradient(params, Batch(*map(torch.stack, zip(*support))), query)
    for name, weight in net.named_parameters():
      weight.grad = grads[name]

  return backward


def _higher(workload, net, variant) -> Backward:
  """facebookresearch/higher."""
  library = _import('higher')

  def backward(support, query):
    for batch in support:
      (_loss(net, batch) / len(support)).backward()
    inner = torch.optim.SGD(net.parameters(), workload.inner_lr)
    with library.innerloop_ctx(net, inner, copy_initial_weights=False) as (fast, sgd):
      for batch in support:
        sgd.step(_loss(fast, batch))
      (workload.beta * _loss(fast, query)).backward()

  return backward


def _torchopt(workload, net, variant) -> Backward:
  """TorchOpt's differentiable MetaSGD."""
  library = _import('torchopt')

  def backward(support, query):
    for batch in support:
      (_loss(net, batch) / len(support)).backward()
    sgd = library.MetaSGD(net, lr=workload.inner_lr)
    start = library.extract_state_dict(net, by='reference')
    for batch in support:
      sgd.step(_loss(net, batch))
    (workload.beta * _loss(net, query)).backward()
    library.recover_state_dict(net, start)

  return backward


def _import(name: str):
  try:
    return importlib.import_module(name)
  except ImportError as error:
    raise Absent(str(error)) from error


_BACKWARD = {
  'torch.func': _functional,
  'higher': _higher,
  'torchopt': _torchopt,
}


def meta_step(
  workload: workloads.Workload, variant: Variant, folders: dict[str, str], num: int
) -> Runner:
  """`num` tasks, each a step of Adam on its meta-gradient, taken in turn."""
  if variant.how == 'rewritten':
    net, tasks = torch_rewritten.network(workload, variant, folders, num)
  else:
    hand = 'nn.GRU' not in variant.how
    net = Net(workload, hand, 'packed' in variant.how)
    draws = workloads.Draws(workload, 'nothing', folders)
    padded = (draws.padded(i, 'trimmed' in variant.how) for i in range(num))
    tasks = [(list(map(tensors, support)), tensors(query)) for support, query in padded]
  backward = _BACKWARD.get(variant.how.split()[0], _create_graph)(
    workload, net, variant
  )
  weights = dict(net.named_parameters())
  return adam(weights, backward, tasks)


def scorer(
  workload: workloads.Workload, variant: Variant, data: types.Dataset
) -> Callable[[], np.ndarray]:
  """Makes score() -> [S], probabilities of an anomaly in batches of like length."""
  net = Net(workload, hand=False, packed='packed' in variant.how).eval()
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
