"""A control: PyTorch with this library's algebra, but autograd's derivatives.

The event table is projected once and looked up; nothing is padded; Eq. 4 is a column
sum. What is left to explain a difference is the hand-written derivative and the
compiler.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from experiments.benches import torch_gru, workloads
from experiments.benches.variants import Runner, Variant

BANDS = (8, 16, 24, 32, 48, 64, 96)  # sessions of like length attend together


class Batch(NamedTuple):
  """The states to compute, level by level, and which of them each session has."""

  vectors: torch.Tensor  # [V, D]
  events: torch.Tensor  # [N] of every state, all of one level side by side
  parents: list[torch.Tensor]  # per level: which state of the level before, [n_t]
  places: list[torch.Tensor]  # per band of sessions: states [n, L], 0 behind the end
  lengths: list[torch.Tensor]  # per band: [n]
  labels: torch.Tensor  # [B] float
  weights: torch.Tensor  # [B]

  def loss(self, logits: torch.Tensor) -> torch.Tensor:
    log_p = torch.log_softmax(logits, -1)
    losses = -(1 - self.labels) * log_p[:, 0] - self.labels * log_p[:, 1]
    return self.weights @ losses / self.weights.sum()


class Net(nn.Module):
  """Logits [B, 2]."""

  def __init__(self, workload: workloads.Workload):
    super().__init__()
    plain = torch_gru.Net(workload, packed=False)
    self.gru, self.attention, self.head = plain.gru, plain.attention, plain.head

  def forward(self, batch: Batch) -> torch.Tensor:
    states = None
    for layer in range(self.gru.num_layers):
      at = lambda name, layer=layer: getattr(self.gru, f'{name}_l{layer}')
      w_ih, b_ih = at('weight_ih'), at('bias_ih')
      if states is None:
        inputs = F.linear(batch.vectors, w_ih, b_ih)[batch.events]
      else:
        inputs = F.linear(states, w_ih, b_ih)
      states = _recur(inputs, batch.parents, at('weight_hh'), at('bias_hh'))
    queries, keys = states @ self.attention.w_q.T, states @ self.attention.w_k.T
    bands = [
      _attend(states[places], queries[places], keys[places], lengths)
      for places, lengths in zip(batch.places, batch.lengths)
    ]
    return torch.tanh(self.head(torch.cat(bands)))


def _attend(a, queries, keys, lengths) -> torch.Tensor:
  """[n, L, H] each -> [n, H]: an event weighs what its attention column sums up to."""
  mask = (torch.arange(a.shape[1]) < lengths[:, None])[:, None]
  matrix = torch.softmax((queries @ keys.mT).masked_fill(~mask, -1e30), -1)
  return ((mask.to(a.dtype) @ matrix) @ a)[:, 0]


def _recur(inputs: torch.Tensor, parents, weight, bias) -> torch.Tensor:
  """[N, 3H] -> [N, H]."""
  levels = inputs.split([len(p) for p in parents])
  h, states = inputs.new_zeros(1, weight.shape[1]), []
  for x, parent in zip(levels, parents):
    h = _cell(x, h[parent], weight, bias)
    states.append(h)
  return torch.cat(states)


def _cell(x, h, weight, bias):
  """One step: [B, 3H], [B, H] -> [B, H]."""
  x_r, x_z, x_n = x.chunk(3, -1)
  h_r, h_z, h_n = F.linear(h, weight, bias).chunk(3, -1)
  r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
  n = torch.tanh(x_n + r * h_n)
  return n + z * (h - n)


def tensors(rows: workloads.Rows) -> Batch:
  """Levels of states: the first event of each session, the second, ..."""
  lengths = np.array([len(events) for events in rows.events])  # falling
  counts = [int(np.sum(lengths > level)) for level in range(lengths[0])]
  starts = np.cumsum([0, *counts])
  events = [[row[t] for row in rows.events[:n]] for t, n in enumerate(counts)]
  split = np.flatnonzero(np.diff(np.searchsorted(BANDS, lengths))) + 1
  bands = np.split(np.arange(len(lengths)), split)
  return Batch(
    torch.from_numpy(rows.vectors),
    torch.from_numpy(np.concatenate(events).astype(np.int64)),
    [torch.arange(n) * (level > 0) for level, n in enumerate(counts)],
    [torch.from_numpy(_places(band, lengths[band], starts)) for band in bands],
    [torch.from_numpy(lengths[band]) for band in bands],
    torch.tensor(rows.labels, dtype=torch.float32),
    torch.tensor(rows.weights, dtype=torch.float32),
  )


def _places(rows: np.ndarray, lengths: np.ndarray, starts: np.ndarray) -> np.ndarray:
  """[n, L] of sessions in falling order: a state is its level's start + its row."""
  levels = np.arange(lengths[0])
  return np.where(levels < lengths[:, None], starts[levels] + rows[:, None], 0)


def meta_step(
  workload: workloads.Workload, variant: Variant, folders: dict[str, str], num: int
) -> Runner:
  """`num` tasks, each a step of Adam on its meta-gradient, taken in turn."""
  draws = workloads.Draws(workload, 'nothing', folders)
  drawn = map(draws.rows, range(num))
  tasks = [(list(map(tensors, support)), tensors(query)) for support, query in drawn]
  return torch_gru.create_graph(workload, Net(workload), variant, tasks)
