"""MetaLog's meta-step and scores as PyTorch users write them, padded or packed."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import rnn

from experiments.benches import workloads
from experiments.benches.variants import Runner, Variant
from metalog_jax import types


class Batch(NamedTuple):
  vectors: torch.Tensor  # [V, D]
  events: torch.Tensor  # [B, L]
  lengths: torch.Tensor  # [B] longest first
  labels: torch.Tensor  # [B]

  def loss(self, logits: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits, self.labels)


class Attention(nn.Module):
  """Eq. 4, summed over a session's events: [B, L, H] -> [B, H]."""

  def __init__(self, hidden: int):
    super().__init__()
    self.w_q = nn.Parameter(torch.empty(hidden, hidden))
    self.w_k = nn.Parameter(torch.empty(hidden, hidden))

  def forward(self, a: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    mask = torch.arange(a.shape[1]) < lengths[:, None]
    scores = (a @ self.w_q.T) @ (a @ self.w_k.T).transpose(1, 2)
    attention = torch.softmax(scores.masked_fill(~mask[:, None], -1e30), -1)
    return ((attention @ a) * mask[..., None]).sum(1)


class Net(nn.Module):
  """Logits [B, 2]."""

  def __init__(self, workload: workloads.Workload, packed: bool):
    super().__init__()
    size = workload.dim, workload.hidden, workload.layers
    self.gru = nn.GRU(*size, batch_first=True)
    self.attention = Attention(workload.hidden)
    self.head = nn.Linear(workload.hidden, 2, bias=False)
    self.packed = packed
    first = workloads.params(workload)
    self.load_state_dict({n: torch.tensor(x) for n, x in first.items()})

  def forward(self, batch: Batch) -> torch.Tensor:
    x = batch.vectors[batch.events]
    if self.packed:
      packed = rnn.pack_padded_sequence(x, batch.lengths, batch_first=True)
      steps = x.shape[1]
      a, _ = rnn.pad_packed_sequence(self.gru(packed)[0], True, total_length=steps)
    else:
      a, _ = self.gru(x)
    return torch.tanh(self.head(self.attention(a, batch.lengths)))


def _alone(net: Net, x: torch.Tensor) -> np.ndarray:
  """The score [1] of one session's vectors [L, D]; no padding, so no mask."""
  with torch.inference_mode():
    a, _ = net.gru(x)
    scores = (a @ net.attention.w_q.T) @ (a @ net.attention.w_k.T).T
    context = torch.softmax(scores, -1).sum(0) @ a  # the sum before the product
    logits = torch.tanh(net.head(context))
    return torch.softmax(logits, -1)[1:].numpy()


def tensors(batch: workloads.Padded) -> Batch:
  """The same as tensors; lengths as PyTorch wants them."""
  arrays = Batch(*(torch.from_numpy(np.ascontiguousarray(x)) for x in batch))
  return arrays._replace(lengths=arrays.lengths.long())


def adam(weights: dict[str, nn.Parameter], backward: Callable, tasks: list) -> Runner:
  """Takes tasks in turn, each a step of Adam on the gradient that backward(*task) left.

  The answer is the gradient of the first.
  """
  optimizer = torch.optim.Adam(list(weights.values()), 2e-3)
  first: dict[str, np.ndarray] = {}

  def run(i: int) -> None:
    optimizer.zero_grad()
    backward(*tasks[i % len(tasks)])
    if not first:
      first.update({n: p.grad.numpy().copy() for n, p in weights.items()})
    optimizer.step()

  return Runner(run, lambda: first)


def _loss(net: torch.nn.Module, params: dict, batch) -> torch.Tensor:
  return batch.loss(torch.func.functional_call(net, params, (batch,)))


def descend(params: dict, value: torch.Tensor, rate: float, exact: bool) -> dict:
  """One inner step down the gradient of `value`, which stays in the graph if exact."""
  grads = torch.autograd.grad(value, list(params.values()), create_graph=exact)
  return {name: p - rate * g for (name, p), g in zip(params.items(), grads)}


def create_graph(workload, net, variant, tasks: list) -> Runner:
  """Steps of Adam on meta-gradients, by autograd.grad through every inner step.

  First order goes without the graph. Tasks are (support, query), taken in turn.
  """
  params = dict(net.named_parameters())

  def backward(support, query):
    for batch in support:
      (_loss(net, params, batch) / len(support)).backward()
    adapted = params
    for batch in support:
      value = _loss(net, adapted, batch)
      adapted = descend(adapted, value, workload.inner_lr, variant.order == 'second')
    (workload.beta * _loss(net, adapted, query)).backward()

  return adam(params, backward, tasks)


def meta_step(
  workload: workloads.Workload, variant: Variant, folders: dict[str, str], num: int
) -> Runner:
  """`num` tasks, each a step of Adam on its meta-gradient, taken in turn."""
  net = Net(workload, 'packed' in variant.how)
  draws = workloads.Draws(workload, 'nothing', folders)
  padded = (draws.padded(i, trim=True) for i in range(num))
  tasks = [(list(map(tensors, support)), tensors(query)) for support, query in padded]
  return create_graph(workload, net, variant, tasks)


def scorer(
  workload: workloads.Workload, variant: Variant, data: types.Dataset
) -> Callable[[types.Sessions], np.ndarray]:
  """Makes score(sessions) -> [S], probabilities of an anomaly.

  In batches of like length; or of one session, without what batches need.
  """
  net = Net(workload, 'packed' in variant.how).eval()
  vectors = torch.from_numpy(data.vectors)
  _, size, *threads = variant.how.split()
  if size == 'alone':
    torch.set_num_threads(int(threads[0]))
    return lambda sessions: _alone(net, vectors[torch.from_numpy(sessions.events)])
  most = int(size)

  def score(sessions: types.Sessions) -> np.ndarray:
    seqs = workloads.sequences(sessions, variant.sharing)
    order = np.argsort(-seqs.lengths, kind='stable')
    scores = np.zeros(len(order))
    for start in range(0, len(order), most):
      rows = order[start : start + most]
      steps = seqs.lengths[rows[0]]
      batch = tensors(workloads.pad_sequences(data.vectors, seqs, rows, steps))
      with torch.inference_mode():
        logits = net(batch._replace(vectors=vectors))
        scores[rows] = torch.softmax(logits, -1)[:, 1].numpy()
    return scores[seqs.inverse]

  return score
