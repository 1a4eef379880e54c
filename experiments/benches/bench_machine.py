"""What a measurement needs: the machine in words, and what samples say."""

import contextlib
import importlib.metadata
import os
import pathlib
import platform
import statistics
from collections.abc import Iterable, Sequence
from typing import Any


def describe() -> dict[str, Any]:
  """Processor, cores that may be used, and how busy others keep them."""
  return {
    'processor': _processor(),
    'cores': len(os.sched_getaffinity(0)),
    'system': platform.platform(),
    'load': [round(load, 2) for load in os.getloadavg()],
  }


def busy_seconds() -> float:
  """Processor seconds spent so far, by everybody on this machine; 0 if unknown."""
  stat = pathlib.Path('/proc/stat')
  if not stat.exists():
    return 0.0
  ticks = [int(x) for x in stat.read_text().split('\n', 1)[0].split()[1:9]]
  user, nice, system, _, _, irq, soft_irq, steal = ticks
  return (user + nice + system + irq + soft_irq + steal) / os.sysconf('SC_CLK_TCK')


def free_gib() -> float:
  """Memory that new processes can have; infinite if unknown."""
  info = pathlib.Path('/proc/meminfo')
  lines = info.read_text().splitlines() if info.exists() else []
  kib = [int(x.split()[1]) for x in lines if x.startswith('MemAvailable')]
  return kib[0] / 2**20 if kib else float('inf')


def _processor() -> str:
  info = pathlib.Path('/proc/cpuinfo')
  lines = info.read_text().splitlines() if info.exists() else []
  names = [line.split(':', 1)[1].strip() for line in lines if 'model name' in line]
  return names[0] if names else platform.machine()


def versions(packages: Iterable[str]) -> dict[str, str]:
  """Versions of Python and of those packages that are installed."""
  numbers = {'python': platform.python_version()}
  for name in packages:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      numbers[name] = importlib.metadata.version(name)
  return numbers


def summarize(seconds: Sequence[float]) -> dict[str, Any]:
  """Median and spread (slowest less fastest), in milliseconds."""
  return {
    'median_ms': round(statistics.median(seconds) * 1e3, 3),
    'spread_ms': round((max(seconds) - min(seconds)) * 1e3, 3),
    'samples': len(seconds),
  }
