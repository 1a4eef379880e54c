"""A control: PyTorch with this library's algebra, but autograd's derivatives.

The event table is projected once and looked up; rows leave as they end; Eq. 4 is a
column sum; equal sessions may be merged. What is left to explain a difference is
the hand-written derivative and the compiler.
"""

import itertools
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from experiments.benches import torch_network, workloads
from experiments.benches.variants import Variant
from metalog_jax import types


class Batch(NamedTuple):
  """`types.Batch` as tensors."""

  vectors: torch.Tensor  # [V, D]
  events: tuple[torch.Tensor, ...]  # [R_k, L_k] each
  lengths: torch.Tensor  # [B]
  labels: torch.Tensor  # [B] float
  weights: torch.Tensor  # [B]

  def loss(self, logits: torch.Tensor) -> torch.Tensor:
    log_p = torch.log_softmax(logits, -1)
    losses = -(1 - self.labels) * log_p[:, 0] - self.labels * log_p[:, 1]
    return self.weights @ losses / self.weights.sum()


class Net(nn.Module):
  """Logits [B, 2] of a staircase."""

  def __init__(self, workload: workloads.Workload):
    super().__init__()
    plain = torch_network.Net(workload, hand=True, packed=False)
    self.gru, self.attention, self.head = plain.gru, plain.attention, plain.head

  def forward(self, batch: Batch) -> torch.Tensor:
    gru = self.gru
    states = None
    for layer in range(gru.layers):
      at = lambda name, layer=layer: getattr(gru, f'{name}_l{layer}')
      w_ih, b_ih = at('weight_ih'), at('bias_ih')
      if states is None:
        table = F.linear(batch.vectors, w_ih, b_ih)
        inputs = [table[events] for events in batch.events]
      else:
        inputs = [F.linear(segment, w_ih, b_ih) for segment in states]
      states = _recur(inputs, at('weight_hh'), at('bias_hh'))
    return torch.tanh(self.head(self._attend(states, batch)))

  def _attend(self, states: list[torch.Tensor], batch: Batch) -> torch.Tensor:
    """[B, H]: the rows of every length apart, an event's weight a column sum."""
    rows = [len(segment) for segment in states] + [0]
    context = []
    for k in reversed(range(len(states))):
      if rows[k + 1] == rows[k]:
        continue
      a = torch.cat([s[rows[k + 1] : rows[k]] for s in states[: k + 1]], 1)
      lengths = batch.lengths[rows[k + 1] : rows[k], None]
      mask = torch.arange(a.shape[1]) < lengths
      scores = (a @ self.attention.w_q.T) @ (a @ self.attention.w_k.T).mT
      matrix = torch.softmax(scores.masked_fill(~mask[:, None], -1e30), -1)
      weights = (mask[:, None].to(a.dtype) @ matrix) * mask[:, None]
      context.append((weights @ a)[:, 0])
    return torch.cat(context)


def _recur(inputs: list[torch.Tensor], weight, bias) -> list[torch.Tensor]:
  """Segments [R_k, L_k, 3H] -> [R_k, L_k, H]; rows that end are left behind."""
  h, segments = inputs[0].new_zeros(len(inputs[0]), weight.shape[1]), []
  for x in inputs:
    h, states = h[: len(x)], []
    for t in range(x.shape[1]):
      h = torch_network.cell(x[:, t], h, weight, bias)
      states.append(h)
    segments.append(torch.stack(states, 1))
  return segments


def tensors(batch: types.Batch) -> Batch:
  """Cut where rows end: eager PyTorch compiles nothing, so its stairs may be fine.

  Every step of the batch's own layout is split at multiples of 4 events, and rows
  that have ended by then are dropped, padding rows too.
  """
  padded = workloads.pad(batch._replace(weights=(batch.lengths > 0).astype(int)), 0)
  lengths, steps = padded.lengths, padded.events.shape[1]
  real = batch.lengths > 0
  edges = [*range(0, steps, 4), steps]
  events = [
    padded.events[: int(np.sum(lengths > start)), start:end]
    for start, end in itertools.pairwise(edges)
  ]
  return Batch(
    torch.from_numpy(batch.vectors),
    tuple(torch.from_numpy(np.ascontiguousarray(e)) for e in events),
    torch.from_numpy(lengths),
    torch.from_numpy(batch.labels[real]),
    torch.from_numpy(batch.weights[real]),
  )


def network(
  workload: workloads.Workload, variant: Variant, folders: dict[str, str], num: int
) -> tuple[Net, list]:
  draws = workloads.Draws(workload, variant.sharing, folders)
  tasks = []
  for support, query in map(draws.task, range(num)):
    tasks.append((list(map(tensors, support)), tensors(query)))
  return Net(workload), tasks
