"""The baselines' networks in PyTorch, one session at a time: the oracle of ours.

Nothing here is shared with the library but the names of the parameters. Parameters
come as `torch_network.tensors` makes them; sessions are [L, D].
"""

import math

import torch
from torch.nn import functional as F

DOUBLE = torch.float64


def lstm(params, name, x, layers=1, bidirectional=False):
  """torch.nn.LSTM over one session: [L, D] -> [L, H * directions]."""
  own = {
    n.removeprefix(f'{name}.'): p for n, p in params.items() if n.startswith(f'{name}.')
  }
  hidden = own['weight_hh_l0'].shape[1]
  module = torch.nn.LSTM(
    x.shape[1], hidden, layers, bidirectional=bidirectional, dtype=DOUBLE
  )
  assert set(own) == {n for n, _ in module.named_parameters()}
  return torch.func.functional_call(module, own, (x,))[0]


def linear(params, name, x):
  return F.linear(x, params[f'{name}.weight'], params[f'{name}.bias'])


def logrobust(params, x):
  states = lstm(params, 'lstm', x, bidirectional=True)
  scores = torch.tanh(states @ params['attention_weight'] + params['attention_bias'])
  return linear(params, 'head', torch.softmax(scores, 0) @ states)


def deeplog(params, x):
  return linear(params, 'head', lstm(params, 'lstm', x, layers=2)[-1])


def logtransfer(params, x):
  states = lstm(params, 'lstm_2', lstm(params, 'lstm_1', x))
  return linear(params, 'head', torch.relu(linear(params, 'dense', states[-1])))


def neurallog(params, x, heads):
  length, dim = x.shape
  angles = torch.arange(length, dtype=DOUBLE)[:, None] / 10000 ** (
    torch.arange(0, dim, 2, dtype=DOUBLE) / dim
  )
  encoding = torch.zeros(length, dim, dtype=DOUBLE)
  encoding[:, 0::2] = torch.sin(angles)
  encoding[:, 1::2] = torch.cos(angles)[:, : dim // 2]
  x = x + encoding
  q, k, v = (
    linear(params, f'encoder.{n}', x).reshape(length, heads, -1) for n in 'qkv'
  )
  parts = [
    torch.softmax(q[:, h] @ k[:, h].T / math.sqrt(q.shape[-1]), -1) @ v[:, h]
    for h in range(heads)
  ]

  def norm(name, y):
    weight, bias = params[f'encoder.{name}.weight'], params[f'encoder.{name}.bias']
    return F.layer_norm(y, (dim,), weight, bias, 1e-6)

  x = norm('norm_1', x + linear(params, 'encoder.out', torch.cat(parts, -1)))
  inner = torch.relu(linear(params, 'encoder.ffn_1', x))
  x = norm('norm_2', x + linear(params, 'encoder.ffn_2', inner))
  return linear(params, 'head', torch.relu(linear(params, 'dense', x.mean(0))))


class Reverse(torch.autograd.Function):
  """The identity whose derivative is -alpha."""

  @staticmethod
  def forward(ctx, x, alpha):
    ctx.alpha = alpha
    return x.view_as(x)

  @staticmethod
  def backward(ctx, grad):
    return -ctx.alpha * grad, None


def logtad(params, x, alpha):
  """The representation [H] and the domain's logits [2]."""
  z = lstm(params, 'lstm_1', lstm(params, 'lstm_0', x)).mean(0)
  y = Reverse.apply(z, alpha)
  return z, linear(params, 'domain_2', linear(params, 'domain_1', y))


def logtad_loss(params, sides, centre, alpha, weight):
  """sides: per domain (sessions, weights). As released, with copies for weights."""
  distance, losses = 0.0, []
  for number, (sessions, weights) in enumerate(sides):
    for x, w in zip(sessions, weights):
      z, logits = logtad(params, x, alpha)
      for _ in range(int(w)):
        distance = distance + F.mse_loss(z, centre)
        losses.append(F.cross_entropy(logits, torch.tensor(number)))
  return weight * distance + torch.stack(losses).mean()


def weighted_cross_entropy(logits, labels, weights):
  """logits [B, 2]; soft labels [B]."""
  each = F.cross_entropy(logits, torch.stack([1 - labels, labels], 1), reduction='none')
  return (weights * each).sum() / weights.sum()
