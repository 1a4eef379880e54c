"""MAML's meta-step by PyTorch's libraries of meta-learning, where they are installed.

Each of `WRITTEN` is what a user of that library writes, after its own documentation:
TorchOpt 0.7.3, higher 0.2.1, parallel-metalearn 0.5.6.
"""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from experiments.benches import meta_gradients, torch_gru, torch_maml
from experiments.benches.variants import Absent, Runner, Variant


class Layer(nn.Module):
  """Weights [in, out] and biases, as the workload draws them."""

  def __init__(self, w: torch.Tensor, b: torch.Tensor):
    super().__init__()
    self.w, self.b = nn.Parameter(w), nn.Parameter(b)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    return x @ self.w + self.b


class Net(nn.Module):
  """The workload's network as a module, its parameters under the workload's names."""

  def __init__(self, weights: dict[str, torch.Tensor], classes: bool):
    super().__init__()
    for i in range(len(weights) // 2):
      self.add_module(f'l{i}', Layer(weights[f'l{i}.w'], weights[f'l{i}.b']))
    self.activate = torch.tanh if classes else torch.relu

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    *layers, last = self.children()
    for layer in layers:
      x = self.activate(layer(x))
    return last(x)


def by_torchopt(torchopt: Any, net: nn.Module, rate: float, steps: int) -> Callable:
  """MetaSGD on the module itself, whose first state is recovered for each task."""

  def backward(support, query):
    num = len(support[0])
    inner = torchopt.MetaSGD(net, lr=rate)
    network = torchopt.extract_state_dict(net, by='reference')
    optimizer = torchopt.extract_state_dict(inner, by='reference')
    for task in range(num):
      for _ in range(steps):
        inner.step(torch_maml.loss_of(net(support[0][task]), support[1][task]))
      (torch_maml.loss_of(net(query[0][task]), query[1][task]) / num).backward()
      torchopt.recover_state_dict(net, network)
      torchopt.recover_state_dict(inner, optimizer)

  return backward


def by_higher(higher: Any, net: nn.Module, rate: float, steps: int) -> Callable:
  """A functional copy of the module and a differentiable optimizer for each task."""

  def backward(support, query):
    num, inner = len(support[0]), torch.optim.SGD(net.parameters(), lr=rate)
    for task in range(num):
      with higher.innerloop_ctx(net, inner, copy_initial_weights=False) as (copy, sgd):
        for _ in range(steps):
          sgd.step(torch_maml.loss_of(copy(support[0][task]), support[1][task]))
        (torch_maml.loss_of(copy(query[0][task]), query[1][task]) / num).backward()

  return backward


def by_parallel_metalearn(
  metalearn: Any, net: nn.Module, rate: float, steps: int
) -> Callable:
  """The library's MAML, which takes tasks side by side; its step is Adam's as well."""
  losses = importlib.import_module('metalearn.loss.base')
  optimizers = importlib.import_module('metalearn.inner_optimizers')

  class Model(nn.Module):
    def __init__(self):
      super().__init__()
      self.net = net

    def forward(self, x, **_):
      return {'logits': self.net(x), 'buffers': {}}

    def get_fast_weights(self):
      return dict(self.named_parameters())

  class Loss(losses.BaseLoss):
    def forward(self, out_dict, targets, model_states=None, **_):
      loss = torch_maml.loss_of(out_dict['logits'], targets)
      return loss, loss.detach()

  class Kept(torch.optim.SGD):  # Adam's step is taken outside, as of every variant
    def zero_grad(self, *_, **__):
      pass

  model = Model()
  learner = importlib.import_module('metalearn.algorithms').MAML(
    model=model,
    optimizer=Kept(model.parameters(), lr=0.0),
    inner_optimizer=optimizers.InnerSGD(
      model.get_fast_weights(), inner_lr=rate, max_inner_steps=steps, learn_lr=False
    ),
    support_loss_fn=Loss(),
    inner_steps=steps,
    chunk_size=256,
  )
  return lambda support, query: learner.step(iter([(*support, *query)]))


WRITTEN = {
  'torchopt': by_torchopt,
  'higher': by_higher,
  'metalearn': by_parallel_metalearn,
}


def meta_step(workload: meta_gradients.Workload, variant: Variant) -> Runner:
  """One meta-step on all tasks, Adam included.

  Raises:
    Absent: the library is not installed.
  """
  try:
    library = importlib.import_module(variant.how)
  except ImportError as error:
    raise Absent(str(error)) from error
  weights, tasks = torch_maml.tensors(workload)
  net = Net(weights, workload.data == 'digits')
  rate = meta_gradients.RATE[workload.data]
  backward = WRITTEN[variant.how](library, net, rate, workload.steps)
  return torch_gru.adam(dict(net.named_parameters()), backward, [tasks])
