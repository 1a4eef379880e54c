"""MAML's meta-step in PyTorch: by torch.func, and by create_graph task by task."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from experiments.benches import meta_gradients, torch_gru
from experiments.benches.variants import Runner, Variant

grad, vmap = torch.func.grad, torch.func.vmap


def loss_fn(params: dict, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
  """Of regression (rectified units), or of five classes (tanh)."""
  last = len(params) // 2 - 1
  for i in range(last):
    x = x @ params[f'l{i}.w'] + params[f'l{i}.b']
    x = torch.tanh(x) if y.ndim == 1 else torch.relu(x)
  return loss_of(x @ params[f'l{last}.w'] + params[f'l{last}.b'], y)


def loss_of(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
  """Cross-entropy of classes, or the mean squared error."""
  return F.cross_entropy(out, y) if y.ndim == 1 else ((out - y) ** 2).mean()


def at_once(rate: float, steps: int) -> Callable:
  """torch.func: grad of a vmap over tasks of grad."""

  def objective(params, support, query):
    for _ in range(steps):
      grads = grad(loss_fn)(params, *support)
      params = {name: p - rate * grads[name] for name, p in params.items()}
    return loss_fn(params, *query)

  def backward(params, support, query):
    mean = lambda *xs: vmap(objective, (None, 0, 0))(*xs).mean()
    constants = {name: p.detach() for name, p in params.items()}
    for name, gradient in grad(mean)(constants, support, query).items():
      params[name].grad = gradient

  return backward


def in_turn(rate: float, steps: int) -> Callable:
  """create_graph through every inner step, a task after another."""

  def backward(params, support, query):
    num = len(support[0])
    for task in range(num):
      adapted = params
      for _ in range(steps):
        value = loss_fn(adapted, support[0][task], support[1][task])
        grads = torch.autograd.grad(value, list(adapted.values()), create_graph=True)
        pairs = zip(adapted.items(), grads, strict=True)
        adapted = {name: p - rate * g for (name, p), g in pairs}
      (loss_fn(adapted, query[0][task], query[1][task]) / num).backward()

  return backward


WRITTEN = {'torch.func': at_once, 'torch create_graph': in_turn}


def meta_step(workload: meta_gradients.Workload, variant: Variant) -> Runner:
  """One meta-step on all tasks, Adam included."""
  first, tasks = tensors(workload)
  weights = {name: nn.Parameter(value) for name, value in first.items()}
  make = at_once if variant.how == 'torch.func' else in_turn
  backward = make(meta_gradients.RATE[workload.data], workload.steps)
  return torch_gru.adam(weights, backward, [(weights, *tasks)])


def tensors(workload: meta_gradients.Workload) -> tuple[dict[str, torch.Tensor], tuple]:
  """(first weights by name, (support, query)) of a workload."""
  weights = meta_gradients.first_weights(workload)
  convert = lambda part: tuple(map(torch.from_numpy, part))
  tasks = tuple(map(convert, meta_gradients.draw(workload)))
  return {name: torch.tensor(value) for name, value in weights.items()}, tasks
