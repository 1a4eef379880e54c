"""What a measured variant is, and what a suite's process offers for it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

# The exact choices of `MetaConfig.gradient`, repeated here so that a process of PyTorch
# does not import jax; a test compares.
DEFAULT_GRADIENT = 'mixed'
GRADIENTS = ('reverse', 'mixed', 'linearized', 'remat')


class Variant(NamedTuple):
  """One way to compute a workload."""

  framework: str  # 'jax' or 'torch'
  how: str  # what the framework's module builds
  order: str = 'second'
  sharing: str = 'nothing'
  control: bool = False  # measured to explain, not to compete
  devices: int = 1  # host devices of jax
  gradient: str = ''  # choice of `MetaConfig.gradient`; '' is the library's default

  @property
  def environment(self) -> dict[str, str]:
    """Variables that its process needs before the framework is imported."""
    if self.framework == 'torch' or self.devices == 1:
      return {}
    return {'XLA_FLAGS': f'--xla_force_host_platform_device_count={self.devices}'}


class Runner(NamedTuple):
  """What the process of a variant can be asked for."""

  run: Callable[[int], Any]  # sample number -> its seconds, or what is no float
  answer: Callable[[], dict[str, np.ndarray]]  # of sample 0 at the first weights


class Absent(Exception):
  """What the variant needs is not on this machine."""


def use_torch() -> Any:
  """PyTorch, set to as many threads as jax has.

  Raises:
    Absent: it is not installed.
  """
  try:
    import torch  # the other framework's processes do without it
  except ImportError as error:
    raise Absent(f'{error}: install the extra `torch`') from error
  torch.set_num_threads(2)
  return torch


def nest(flat: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
  """{'gru.bias_ih_l0': x} -> {'gru': {'bias_ih_l0': x}}."""
  tree: dict[str, dict[str, np.ndarray]] = {}
  for name, value in flat.items():
    module, leaf = name.split('.')
    tree.setdefault(module, {})[leaf] = value
  return tree


def flatten(tree: dict[str, dict[str, Any]]) -> dict[str, np.ndarray]:
  """The inverse of `nest`, as NumPy arrays."""
  return {
    f'{module}.{name}': np.asarray(value)
    for module, leaves in tree.items()
    for name, value in leaves.items()
  }
