"""What a measurement needs: the machine in words, and what samples say."""

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
    'cores': cores(),
    'system': platform.platform(),
    'load': [round(load, 2) for load in os.getloadavg()],
  }


def cores() -> int:
  return len(os.sched_getaffinity(0))


def _processor() -> str:
  info = pathlib.Path('/proc/cpuinfo')
  lines = info.read_text().splitlines() if info.exists() else []
  names = [line.split(':', 1)[1].strip() for line in lines if 'model name' in line]
  return names[0] if names else platform.machine()


def versions(packages: Iterable[str]) -> dict[str, str]:
  found = {name: importlib.metadata.version(name) for name in packages}
  return {'python': platform.python_version(), **found}


def summarize(seconds: Sequence[float]) -> dict[str, Any]:
  """Median and spread (slowest less fastest), in milliseconds."""
  return {
    'median_ms': round(statistics.median(seconds) * 1e3, 3),
    'spread_ms': round((max(seconds) - min(seconds)) * 1e3, 3),
    'samples': len(seconds),
  }
