"""MetaLog's meta-step as PyTorch users would write it, and with their libraries."""

import importlib
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from experiments.benches import torch_rewritten, workloads
from experiments.benches.torch_network import Batch, Net, tensors
from experiments.benches.variants import Absent, Runner, Variant


def loss(net: Callable, batch) -> torch.Tensor:
  return batch.loss(net(batch))


def call(net: nn.Module, params: dict) -> Callable:
  return lambda batch: torch.func.functional_call(net, params, (batch,))


def create_graph(workload, net, variant) -> Callable:
  """autograd.grad through every inner step; first order without the graph."""
  params = dict(net.named_parameters())

  def backward(support, query):
    for batch in support:
      (loss(call(net, params), batch) / len(support)).backward()
    adapted = params
    for batch in support:
      value = loss(call(net, adapted), batch)
      grads = torch.autograd.grad(
        value, list(adapted.values()), create_graph=variant.order == 'second'
      )
      adapted = {
        n: p - workload.inner_lr * g for (n, p), g in zip(adapted.items(), grads)
      }
    (workload.beta * loss(call(net, adapted), query)).backward()

  return backward


def functional(workload, net, variant) -> Callable:
  """torch.func: grad of grad, vmap over the support's batches."""
  grad, vmap = torch.func.grad, torch.func.vmap

  def objective(params, support, query):
    at = lambda params, batch: loss(call(net, params), batch)
    total = vmap(at, (None, 0))(params, support).mean()
    adapted = params
    for i in range(workload.inner_steps):
      grads = grad(at)(adapted, Batch(*(x[i] for x in support)))
      adapted = {n: p - workload.inner_lr * grads[n] for n, p in adapted.items()}
    return total + workload.beta * at(adapted, query)

  gradient = grad(objective)
  if variant.how.startswith('torch.compile'):
    gradient = torch.compile(gradient)

  def backward(support, query):
    params = {n: p.detach() for n, p in net.named_parameters()}
    grads = gradient(params, Batch(*map(torch.stack, zip(*support))), query)
    for name, weight in net.named_parameters():
      weight.grad = grads[name]

  return backward


def higher(workload, net, variant) -> Callable:
  """facebookresearch/higher."""
  library = _import('higher')

  def backward(support, query):
    for batch in support:
      (loss(net, batch) / len(support)).backward()
    inner = torch.optim.SGD(net.parameters(), workload.inner_lr)
    with library.innerloop_ctx(net, inner, copy_initial_weights=False) as (fast, sgd):
      for batch in support:
        sgd.step(loss(fast, batch))
      (workload.beta * loss(fast, query)).backward()

  return backward


def torchopt(workload, net, variant) -> Callable:
  """TorchOpt's differentiable MetaSGD."""
  library = _import('torchopt')

  def backward(support, query):
    for batch in support:
      (loss(net, batch) / len(support)).backward()
    sgd = library.MetaSGD(net, lr=workload.inner_lr)
    start = library.extract_state_dict(net, by='reference')
    for batch in support:
      sgd.step(loss(net, batch))
    (workload.beta * loss(net, query)).backward()
    library.recover_state_dict(net, start)

  return backward


def _import(name: str):
  try:
    return importlib.import_module(name)
  except ImportError as error:
    raise Absent(str(error)) from error


_BACKWARD = {
  'torch.func': functional,
  'torch.compile': functional,
  'higher': higher,
  'torchopt': torchopt,
}


def build(
  workload: workloads.Workload, variant: Variant, folders: dict[str, str], num: int
) -> Runner:
  """`num` tasks in turn, each a step of Adam on its meta-gradient."""
  if variant.how == 'rewritten':
    net, tasks = torch_rewritten.network(workload, variant, folders, num)
  else:
    hand = 'nn.GRU' not in variant.how
    net = Net(workload, hand, 'packed' in variant.how)
    draws = workloads.Draws(workload, 'nothing', folders)
    padded = (draws.padded(i, 'trimmed' in variant.how) for i in range(num))
    tasks = [(list(map(tensors, support)), tensors(query)) for support, query in padded]
  backward = _BACKWARD.get(variant.how.split()[0], create_graph)(workload, net, variant)
  optimizer = torch.optim.Adam(net.parameters(), 2e-3)
  first: dict[str, np.ndarray] = {}

  def run(i: int) -> None:
    optimizer.zero_grad()
    backward(*tasks[i % num])
    if not first:
      first.update({n: p.grad.numpy().copy() for n, p in net.named_parameters()})
    optimizer.step()

  return Runner(run, lambda: first)
