"""LogMeta's meta-step in PyTorch: task by task, or all tasks at once by torch.func."""

import functools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from experiments.benches import logmeta
from experiments.benches.variants import Runner, Variant

grad, vmap = torch.func.grad, torch.func.vmap


def attend(params: dict, a: torch.Tensor) -> torch.Tensor:
  """Attention and head: [B, L, 2 H] -> logits [B, 2]."""
  scores = a @ params['attention.weight'] + params['attention.bias']
  context = (torch.softmax(scores, -1)[..., None] * a).sum(1)
  return F.linear(context, params['head.weight'], params['head.bias'])


def library_cell(module: nn.LSTM) -> Callable:
  """nn.LSTM with given parameters."""

  def read(params, x):
    own = {n[5:]: p for n, p in params.items() if n.startswith('lstm.')}
    return torch.func.functional_call(module, own, (x,))[0]

  return read


def hand_cell(params: dict, x, table: torch.Tensor | None = None) -> torch.Tensor:
  """Both directions step by step, inputs projected at once: [B, L, D] -> [B, L, 2 H].

  The directions go side by side as one batch, which halves the operations. With a
  `table`, x are events [B, L] in it: it is projected once, and looked up.
  """
  at = lambda name, suffix: params[f'lstm.{name}_l0{suffix}']
  both = lambda f: torch.stack([f(''), f('_reverse')])
  w_ih, w_hh = (both(lambda s, n=n: at(n, s)) for n in ('weight_ih', 'weight_hh'))
  # Added up before they are stacked: behind that, their gradients would share memory.
  bias = both(lambda s: at('bias_ih', s) + at('bias_hh', s))
  batch, steps = x.shape[:2]
  y = F.linear(x if table is None else table, w_ih.flatten(0, 1), bias.flatten())
  y = y if table is None else F.embedding(x, y)  # [B, L, 2 * 4H]
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
    attend(params, read(params, x)), labels
  )


def in_turn(workload, variant, loss) -> Callable:
  """create_graph through every inner step, a task after another."""
  exact = variant.order == 'second'

  def backward(params, support, query):
    for task in range(workload.tasks):
      at = lambda params, part: loss(params, *(x[task] for x in part))  # noqa: B023
      adapted = params
      for _ in range(workload.inner_steps):
        grads = torch.autograd.grad(
          at(adapted, support), list(adapted.values()), create_graph=exact
        )
        adapted = {
          n: p - workload.inner_lr * g for (n, p), g in zip(adapted.items(), grads)
        }
      (at(adapted, query) / workload.tasks).backward()

  return backward


def at_once(workload, variant, loss) -> Callable:
  """torch.func: grad of a vmap over tasks of grad."""

  def task_loss(params, support, query):
    for _ in range(workload.inner_steps):
      grads = grad(loss)(params, *support)
      if variant.order == 'first':
        grads = {n: g.detach() for n, g in grads.items()}
      params = {n: p - workload.inner_lr * grads[n] for n, p in params.items()}
    return loss(params, *query)

  objective = lambda *xs: vmap(task_loss, (None, 0, 0))(*xs).mean()

  def backward(params, support, query):
    grads = grad(objective)({n: p.detach() for n, p in params.items()}, support, query)
    for name, weight in params.items():
      weight.grad = grads[name]

  return backward


def build(workload: logmeta.Workload, variant: Variant, num: int) -> Runner:
  """`num` steps in turn, each a step of Adam on its meta-gradient."""
  params = {
    n: nn.Parameter(torch.tensor(x)) for n, x in logmeta.params(workload).items()
  }
  module = nn.LSTM(workload.dim, workload.hidden, batch_first=True, bidirectional=True)
  read = library_cell(module) if variant.how == 'nn.LSTM' else hand_cell
  make = at_once if variant.how.startswith('torch.func vmap') else in_turn
  table = torch.from_numpy(logmeta.vectors(workload))
  look_up = table.__getitem__
  if variant.how.endswith('table'):
    read, look_up = functools.partial(hand_cell, table=table), lambda events: events
  backward = make(workload, variant, _loss(read))
  steps = [
    [
      (look_up(torch.from_numpy(p.events).long()), torch.from_numpy(p.labels))
      for p in parts
    ]
    for parts in (logmeta.tasks(workload, i) for i in range(num))
  ]
  optimizer = torch.optim.Adam(list(params.values()), 2e-3)
  first: dict[str, np.ndarray] = {}

  def run(i: int) -> None:
    optimizer.zero_grad()
    backward(params, *steps[i % num])
    if not first:
      first.update({n: p.grad.numpy().copy() for n, p in params.items()})
    optimizer.step()

  return Runner(run, lambda: first)
