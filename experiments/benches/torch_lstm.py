"""LogMeta in PyTorch: its meta-step, adapting to a new system, single sessions.

The meta-step goes task by task, or takes all tasks at once by torch.func.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import rnn

from experiments.benches import lstm_workloads, torch_gru
from experiments.benches.variants import Runner, Variant
from metalog_jax import types

_REVERSE = '_reverse'
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


class Padded(NamedTuple):
  """Sessions, longest first."""

  x: torch.Tensor  # [B, L, D]
  lengths: torch.Tensor  # [B]
  mask: torch.Tensor  # [B, L]
  flip: torch.Tensor  # [B, L] the step that each becomes in the reversed session
  labels: torch.Tensor  # [B]


def pad(data: types.Dataset) -> Padded:
  """Sessions as PyTorch packs them, with the vectors of their events."""
  rows = lstm_workloads.read(data.sessions)
  lengths = torch.tensor([len(row) for row in rows])
  order = torch.argsort(lengths, descending=True)
  events = [torch.from_numpy(rows[i].astype(np.int64)) for i in order]
  vectors, lengths = torch.from_numpy(data.vectors), lengths[order]
  steps = torch.arange(int(lengths[0]))
  mask = steps < lengths[:, None]
  flip = torch.where(mask, lengths[:, None] - 1 - steps, steps)
  labels = torch.from_numpy(data.sessions.labels.astype(np.int64))[order]
  return Padded(
    vectors[rnn.pad_sequence(events, batch_first=True)], lengths, mask, flip, labels
  )


class Net(nn.Module):
  """LogMeta's network from the workload's weights."""

  def __init__(self, workload: lstm_workloads.NewSystem, how: str = ''):
    super().__init__()
    self.packed, self.alone = 'packed' in how, 'by itself' in how
    size = workload.dim, workload.hidden
    self.lstm = nn.LSTM(*size, batch_first=True, bidirectional=not self.alone)
    if self.alone:
      self.back = nn.LSTM(*size, batch_first=True)
    self.attention = nn.Linear(2 * workload.hidden, 1)
    self.head = nn.Linear(2 * workload.hidden, 2)
    weights, self.start = dict(self.named_parameters()), {}
    for name, x in lstm_workloads.params(workload).items():
      key = name
      if self.alone and name.endswith(_REVERSE):
        key = name.replace('lstm', 'back').removesuffix(_REVERSE)
      weight = weights[key]
      self.start[name] = torch.tensor(x).reshape(weight.shape), weight, x.shape
    self.restart()

  @torch.no_grad()
  def restart(self) -> None:
    """Sets the first weights again."""
    for first, weight, _ in self.start.values():
      weight.copy_(first)

  def moved(self) -> dict[str, np.ndarray]:
    """How far each weight is from its start."""
    return {
      name: (weight.detach().double() - first.double()).numpy().reshape(shape)
      for name, (first, weight, shape) in self.start.items()
    }

  def attend(
    self, states: torch.Tensor, mask: torch.Tensor | None = None
  ) -> torch.Tensor:
    """[B, L, 2 H] -> logits [B, 2]; without a mask, all are events."""
    scores = self.attention(states)[..., 0]
    if mask is not None:
      scores = scores.masked_fill(~mask, -torch.inf)
    return self.head((torch.softmax(scores, -1)[..., None] * states).sum(1))

  def prepare(self, batch: Padded):
    """What stays the same from step to step."""
    if self.packed:
      return rnn.pack_padded_sequence(batch.x, batch.lengths, batch_first=True)
    return batch.x, batch.x.take_along_dim(batch.flip[..., None], 1)

  def forward(self, ready, batch: Padded) -> torch.Tensor:
    if self.packed:
      states, _ = rnn.pad_packed_sequence(self.lstm(ready)[0], batch_first=True)
    else:
      back = self.back(ready[1])[0].take_along_dim(batch.flip[..., None], 1)
      states = torch.cat([self.lstm(ready[0])[0], back], -1)
    return self.attend(states, batch.mask)


def adapter(
  workload: lstm_workloads.NewSystem, variant: Variant, data: types.Dataset
) -> Callable:
  """Makes adapt(target) -> moved() -> how far each weight moved."""
  del data
  net = Net(workload, variant.how)
  optimizer = torch.optim.SGD(net.parameters(), workload.rate)

  def adapt(target: types.Dataset) -> Callable[[], dict[str, np.ndarray]]:
    net.restart()
    batch = pad(target)
    ready = net.prepare(batch)
    for _ in range(workload.steps):
      optimizer.zero_grad()
      F.cross_entropy(net(ready, batch), batch.labels).backward()
      optimizer.step()
    return net.moved

  return adapt


def scorer(
  workload: lstm_workloads.NewSystem, variant: Variant, data: types.Dataset
) -> Callable[[types.Dataset], float]:
  """Makes score(a data set of one session) -> its score."""
  net, vectors = Net(workload).eval(), torch.from_numpy(data.vectors)
  if variant.how.endswith('1 thread'):
    torch.set_num_threads(1)

  def score(one: types.Dataset) -> float:
    (events,) = lstm_workloads.read(one.sessions)
    with torch.inference_mode():
      x = vectors[torch.from_numpy(events.astype(np.int64))][None]
      return torch.softmax(net.attend(net.lstm(x)[0]), -1)[0, 1].item()

  return score
