"""LogMeta's meta-step in PyTorch: task by task, or all tasks at once by torch.func."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from experiments.benches import lstm_workloads, torch_gru
from experiments.benches.variants import Runner, Variant

grad, vmap = torch.func.grad, torch.func.vmap


def meta_step(workload: lstm_workloads.MetaStep, variant: Variant, num: int) -> Runner:
  """`num` steps' tasks, each a step of Adam on their meta-gradient, taken in turn."""
  params = {
    n: nn.Parameter(torch.tensor(x)) for n, x in lstm_workloads.params(workload).items()
  }
  module = nn.LSTM(workload.dim, workload.hidden, batch_first=True, bidirectional=True)
  read = _library_cell(module) if variant.how == 'nn.LSTM' else _hand_cell
  make_backward = _at_once if variant.how == 'torch.func vmap' else _in_turn
  backward = make_backward(workload, _loss(read))
  table = torch.from_numpy(lstm_workloads.vectors(workload))
  tensors = lambda part: (
    table[torch.from_numpy(part.events).long()],
    torch.from_numpy(part.labels),
  )
  steps = [
    [params, *map(tensors, lstm_workloads.tasks(workload, i))] for i in range(num)
  ]
  return torch_gru.adam(params, backward, steps)


def _attend(params: dict, a: torch.Tensor) -> torch.Tensor:
  """Attention and head: [B, L, 2 H] -> logits [B, 2]."""
  scores = a @ params['attention.weight'] + params['attention.bias']
  context = (torch.softmax(scores, -1)[..., None] * a).sum(1)
  return F.linear(context, params['head.weight'], params['head.bias'])


def _library_cell(module: nn.LSTM) -> Callable:
  """nn.LSTM with given parameters."""

  def read(params, x):
    own = {n[5:]: p for n, p in params.items() if n.startswith('lstm.')}
    return torch.func.functional_call(module, own, (x,))[0]

  return read


def _hand_cell(params: dict, x: torch.Tensor) -> torch.Tensor:
  """Both directions step by step, inputs projected at once: [B, L, D] -> [B, L, 2 H].

  The directions go side by side as one batch, which halves the operations.
  """
  at = lambda name, suffix: params[f'lstm.{name}_l0{suffix}']
  both = lambda f: torch.stack([f(''), f('_reverse')])
  w_ih, w_hh = (both(lambda s, n=n: at(n, s)) for n in ('weight_ih', 'weight_hh'))
  # Added up before they are stacked: behind that, their gradients would share memory.
  bias = both(lambda s: at('bias_ih', s) + at('bias_hh', s))
  batch, steps = x.shape[:2]
  y = F.linear(x, w_ih.flatten(0, 1), bias.flatten())  # [B, L, 2 * 4H]
  forward, backward = y.chunk(2, -1)
  y = torch.stack([forward, backward.flip(1)])  # [2, B, L, 4H]
  h = c = y.new_zeros(2, batch, w_hh.shape[-1])
  w, states = w_hh.mT, []
  for t in range(steps):
    i, f, g, o = (y[:, :, t] + h @ w).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    states.append(h)
  forward, backward = torch.stack(states, 2)
  return torch.cat([forward, backward.flip(1)], -1)


def _loss(read: Callable) -> Callable:
  return lambda params, x, labels: F.cross_entropy(
    _attend(params, read(params, x)), labels
  )


def _in_turn(workload, loss) -> Callable:
  """create_graph through every inner step, a task after another."""

  def backward(params, support, query):
    for task in range(workload.tasks):
      at = lambda params, part: loss(params, *(x[task] for x in part))  # noqa: B023
      adapted = params
      for _ in range(workload.inner_steps):
        value = at(adapted, support)
        adapted = torch_gru.descend(adapted, value, workload.inner_lr, exact=True)
      (at(adapted, query) / workload.tasks).backward()

  return backward


def _at_once(workload, loss) -> Callable:
  """torch.func: grad of a vmap over tasks of grad."""

  def task_loss(params, support, query):
    for _ in range(workload.inner_steps):
      grads = grad(loss)(params, *support)
      params = {n: p - workload.inner_lr * grads[n] for n, p in params.items()}
    return loss(params, *query)

  objective = lambda *xs: vmap(task_loss, (None, 0, 0))(*xs).mean()

  def backward(params, support, query):
    grads = grad(objective)({n: p.detach() for n, p in params.items()}, support, query)
    for name, weight in params.items():
      weight.grad = grads[name]

  return backward
