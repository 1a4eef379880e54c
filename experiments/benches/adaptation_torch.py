"""Adaptation and single sessions as PyTorch users write them, with nn.LSTM."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import rnn

from experiments.benches import adaptation, logmeta
from experiments.benches.variants import Variant
from metalog_jax import types

REVERSE = '_reverse'


class Padded(NamedTuple):
  """Sessions, longest first."""

  x: torch.Tensor  # [B, L, D]
  lengths: torch.Tensor  # [B]
  mask: torch.Tensor  # [B, L]
  flip: torch.Tensor  # [B, L] the step that each becomes in the reversed session
  labels: torch.Tensor  # [B]


def pad(data: types.Dataset) -> Padded:
  rows = adaptation.read(data.sessions)
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

  def __init__(self, workload: adaptation.Workload, how: str = ''):
    super().__init__()
    self.packed, self.alone = 'packed' in how, 'by itself' in how
    size = workload.dim, workload.hidden
    self.lstm = nn.LSTM(*size, batch_first=True, bidirectional=not self.alone)
    if self.alone:
      self.back = nn.LSTM(*size, batch_first=True)
    self.attention = nn.Linear(2 * workload.hidden, 1)
    self.head = nn.Linear(2 * workload.hidden, 2)
    own, self.start = dict(self.named_parameters()), {}
    for name, x in logmeta.params(workload).items():
      weight = own[self._own(name)]
      self.start[name] = torch.tensor(x).reshape(weight.shape), weight
    self.restart()

  def _own(self, name: str) -> str:
    if self.alone and name.endswith(REVERSE):
      return name.replace('lstm', 'back').removesuffix(REVERSE)
    return name

  @torch.no_grad()
  def restart(self) -> None:
    for first, weight in self.start.values():
      weight.copy_(first)

  def moved(self) -> dict[str, np.ndarray]:
    """How far each weight is from its start."""
    far = {n: w.detach().double() - x.double() for n, (x, w) in self.start.items()}
    squeeze = lambda n, x: x.reshape(-1 if n.endswith('weight') else ()).numpy()
    return {
      n: squeeze(n, x) if n.startswith('attention') else x.numpy()
      for n, x in far.items()
    }

  def attend(self, states: torch.Tensor, mask: torch.Tensor | None = None):
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


def adapt(workload: adaptation.Workload, variant: Variant, data: types.Dataset):
  """adapt(target) -> how far each weight moved, to be asked for."""
  del data
  net = Net(workload, variant.how)
  optimizer = torch.optim.SGD(net.parameters(), workload.rate)

  def run(target: types.Dataset):
    net.restart()
    batch = pad(target)
    ready = net.prepare(batch)
    for _ in range(workload.steps):
      optimizer.zero_grad()
      F.cross_entropy(net(ready, batch), batch.labels).backward()
      optimizer.step()
    return net.moved

  return run


def score(workload: adaptation.Workload, variant: Variant, data: types.Dataset):
  """score(a data set of one session) -> its score."""
  net, vectors = Net(workload).eval(), torch.from_numpy(data.vectors)
  if variant.how.endswith('1 thread'):
    torch.set_num_threads(1)

  def run(one: types.Dataset) -> float:
    (events,) = adaptation.read(one.sessions)
    with torch.inference_mode():
      x = vectors[torch.from_numpy(events.astype(np.int64))][None]
      return torch.softmax(net.attend(net.lstm(x)[0]), -1)[0, 1].item()

  return run
