"""What a measured variant is, and what a suite's process offers for it."""

import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from metalog_jax.detectors import metalog

# Every way that the detector offers; 'auto' is one of the others.
WAYS = tuple(
  way
  for way in typing.get_args(typing.get_type_hints(metalog.Config)['gradient'])
  if way not in ('auto', 'finite')
)


class Variant(NamedTuple):
  """One way to compute a workload."""

  framework: str  # 'jax' or 'torch'
  how: str  # what the framework's module builds
  order: str = 'second'
  sharing: str = 'nothing'
  control: bool = False  # measured to explain, not to compete
  devices: int = 1  # host devices of jax
  gradient: str = ''  # way to take the meta-gradient; '' is the library's default

  @property
  def environment(self) -> dict[str, str]:
    """What its process needs to be told before the framework is imported."""
    if self.framework == 'torch' or self.devices == 1:
      return {}
    return {'XLA_FLAGS': f'--xla_force_host_platform_device_count={self.devices}'}


class Runner(NamedTuple):
  """What a process of a variant does when it is asked to."""

  run: Callable[[int], Any]  # sample number -> whatever; returns when all is computed
  answer: Callable[[], dict[str, np.ndarray]]  # of sample 0 at the first weights
  more: Callable[[], dict[str, float]] = dict  # figures of the last sample, by name


class Absent(Exception):
  """What the variant needs is not on this machine."""


def use_torch():
  """PyTorch, set to as many threads as jax has.

  Raises:
    Absent: it is not installed.
  """
  try:
    import torch
  except ImportError as error:
    raise Absent(f'{error}: install the extra `torch`') from error
  torch.set_num_threads(2)
  return torch
