"""MetaLog and LogMeta in PyTorch, one session at a time: the oracle of our networks.

Nothing here is shared with the library but the names of the parameters.
"""

from typing import Any

import numpy as np
import torch

DOUBLE = torch.float64


def tensors(tree: dict[str, Any]) -> dict[str, torch.Tensor]:
  """Nested dicts of arrays -> {'a.b': leaf tensor that wants a gradient}."""
  out = {}
  for name, value in tree.items():
    if isinstance(value, dict):
      out |= {f'{name}.{k}': v for k, v in tensors(value).items()}
    else:
      out[name] = torch.tensor(np.asarray(value), dtype=DOUBLE, requires_grad=True)
  return out


UNITS = {'gru': torch.nn.GRU, 'lstm': torch.nn.LSTM}


def recurrent(params: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
  """torch.nn.GRU or LSTM over one session: [L, D] -> [L, H * directions]."""
  unit = next(unit for unit in UNITS if f'{unit}.weight_hh_l0' in params)
  names = [name for name in params if name.startswith(f'{unit}.')]
  layers = 1 + max(int(n.split('_l')[1].split('_')[0]) for n in names)
  bidirectional = any(n.endswith('_reverse') for n in names)
  hidden = params[f'{unit}.weight_hh_l0'].shape[1]
  module = UNITS[unit](
    x.shape[1], hidden, layers, bidirectional=bidirectional, dtype=DOUBLE
  )
  own = {name.removeprefix(f'{unit}.'): params[name] for name in names}
  assert set(own) == {name for name, _ in module.named_parameters()}
  return torch.func.functional_call(module, own, (x,))[0]


def context(params: dict[str, torch.Tensor], a: torch.Tensor) -> torch.Tensor:
  """Eq. 4, the released attention, or LogMeta's: [L, H] -> [H]."""
  if 'attention.w_q' in params:
    q, k = a @ params['attention.w_q'].T, a @ params['attention.w_k'].T
    return (torch.softmax(q @ k.T, dim=-1) @ a).sum(0)
  if 'attention.guide' not in params:
    score = torch.nn.functional.linear
    weight, bias = params['attention.weight'][None], params['attention.bias']
    return (torch.softmax(score(a, weight, bias), 0) * a).sum(0)
  guide = params['attention.guide'].expand(len(a), -1)
  scores = torch.tanh(
    torch.cat([guide, a], 1) @ params['attention.weight'] + params['attention.bias']
  )
  return torch.softmax(scores, 0) @ a


def logits(params: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
  """One session [L, D] -> [2]."""
  out = params['head.weight'] @ context(params, recurrent(params, x))
  return out + params['head.bias'] if 'head.bias' in params else torch.tanh(out)


def binary_cross_entropy(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
  """The released loss: BCE over both columns of the softmax."""
  p = torch.softmax(logits, -1)
  return torch.nn.functional.binary_cross_entropy(p, y)


def cross_entropy(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
  """The same number; torch's BCE has an epsilon of 1e-12 in its derivatives."""
  return -(y * torch.log_softmax(logits, -1)).sum()


def loss(
  params: dict[str, torch.Tensor], batch: dict[str, Any], criterion=cross_entropy
) -> torch.Tensor:
  """The weighted mean loss of sessions.

  Args:
    batch: vectors [V, D], sequences (list of [L] ids), labels [B], weights [B].
  """
  vectors = torch.tensor(batch['vectors'], dtype=DOUBLE)
  total = sum(batch['weights'])
  result = torch.zeros((), dtype=DOUBLE)
  for events, y, w in zip(batch['sequences'], batch['labels'], batch['weights']):
    if w:
      y = torch.tensor([1 - y, y], dtype=DOUBLE)
      result = result + w / total * criterion(logits(params, vectors[events]), y)
  return result


def gradient(params: dict[str, torch.Tensor], value: torch.Tensor) -> dict[str, Any]:
  grads = torch.autograd.grad(value, list(params.values()))
  return {n: g.numpy() for n, g in zip(params, grads, strict=True)}


def states_and_gradient(
  tree: Any, vectors: np.ndarray, sequences: list, probe: np.ndarray
) -> dict[str, Any]:
  """States of all sessions, one after another, and their gradient along a probe."""
  params = tensors(tree)
  vectors = torch.tensor(vectors, dtype=DOUBLE)
  states = torch.cat([recurrent(params, vectors[e]) for e in sequences if len(e)])
  along = (states * torch.tensor(probe)).sum()
  return {'states': states.detach().numpy(), **gradient(params, along)}


def loss_and_gradient(tree: Any, batch: dict[str, Any]) -> dict[str, Any]:
  params = tensors(tree)
  value = loss(params, batch, binary_cross_entropy)
  vectors = torch.tensor(batch['vectors'], dtype=DOUBLE)
  rows = [logits(params, vectors[e]) for e in batch['sequences'] if len(e)]
  return {
    'logits': torch.stack(rows).detach().numpy(),
    'loss': value.detach().numpy(),
    **gradient(params, value),
  }


def meta_gradient(
  tree: Any,
  support: list[dict],
  query: dict,
  inner_lr: float,
  beta: float,
  support_weight: float = 1.0,
) -> dict[str, Any]:
  """MetaLog's objective by double backward (`create_graph`) through every step.

  MAML's with a support weight of 0 and a beta of 1.
  """
  params = adapted = tensors(tree)
  total = torch.zeros((), dtype=DOUBLE)
  for batch in support:
    value = loss(adapted, batch)
    grads = torch.autograd.grad(value, list(adapted.values()), create_graph=True)
    adapted = {
      n: p - inner_lr * g for (n, p), g in zip(adapted.items(), grads, strict=True)
    }
    total = total + support_weight * loss(params, batch) / len(support)
  total = total + beta * loss(adapted, query)
  return {'loss': total.detach().numpy(), **gradient(params, total)}
