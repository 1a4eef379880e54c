"""How time and memory of a meta-step grow, for every way to take the meta-gradient.

A small MetaLog on random sessions of one length; one of its sizes changes at a time.
Memory is what the compiled program sets aside for temporaries, per device. Devices
are simulated by host threads: they show what sharding costs, not what it gains.
"""

import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np

from experiments.benches import interleave, variants, worker

PACKAGES = ('jax', 'flax', 'optax', 'numpy')
SAMPLES = 5
SECONDS = 900  # that one curve may take


class Point(NamedTuple):
  """The sizes of one meta-step."""

  inner_steps: int = 5
  length: int = 32
  batch: int = 16
  tasks: int = 1
  devices: int = 1
  hidden: int = 32
  dim: int = 32
  templates: int = 64


AXES: dict[str, tuple[int, ...]] = {
  'inner_steps': (1, 2, 5, 10, 20),
  'length': (16, 32, 64, 128, 256, 512),
  'batch': (8, 16, 32, 64, 128),
  'tasks': (1, 4, 16, 64),
  'devices': (1, 2, 4, 8),
}
BASE = {axis: Point() for axis in AXES} | {
  'length': Point(inner_steps=2),
  'tasks': Point(inner_steps=2),
  'devices': Point(inner_steps=2, tasks=8),
}
WORKLOADS = tuple(AXES)
VARIANTS = {
  'first order': variants.Variant('jax', 'ours', 'first'),
  **{g: variants.Variant('jax', 'ours', gradient=g) for g in variants.GRADIENTS},
}


def run(options: interleave.Options) -> dict[str, Any]:
  """Every curve in a process of its own; `growth` has the slopes."""
  results, growth = [], {}
  for axis in options.workloads or AXES:
    growth[axis] = {}
    for name in options.variants or VARIANTS:
      print(f'scaling: {axis}, {name}', file=sys.stderr)
      rows = _curve(axis, name, options.samples)
      results += rows
      growth[axis][name] = {
        'time': slope(rows, 'median_ms'),
        'memory': slope(rows, 'temp_mib'),
      }
  return {'results': results, 'ratios': {}, 'growth': growth}


def slope(rows: list[dict[str, Any]], figure: str) -> float | None:
  """The exponent p of figure ~ size^p: least squares in logarithms, upper half alone.

  At small sizes what does not grow hides the growth.
  """
  known = [(row['value'], row[figure]) for row in rows if row.get(figure)]
  known = known[len(known) // 2 - 1 :] if len(known) > 3 else known
  if len(known) < 2:
    return None
  sizes, values = np.log(np.array(known, float)).T
  return round(float(np.polyfit(sizes, values, 1)[0]), 2)


def _curve(axis: str, name: str, samples: int) -> list[dict[str, Any]]:
  devices = max(AXES[axis]) if axis == 'devices' else 1
  flags = variants.Variant('jax', 'ours', devices=devices).environment
  command = [sys.executable, '-m', 'experiments.benches.scaling_point', axis, name]
  try:
    done = subprocess.run(
      [*command, str(samples), json.dumps(AXES[axis])],
      env={**os.environ, **worker.SETTINGS, **flags},
      stdout=subprocess.PIPE,
      timeout=SECONDS,
    )
  except subprocess.TimeoutExpired:
    return [make_row(axis, name, None, f'did not finish in {SECONDS} s')]
  lines = done.stdout.decode().splitlines()
  rows = [json.loads(line) for line in lines if line.startswith('{')]
  if done.returncode:
    rows.append(make_row(axis, name, None, f'died with exit code {done.returncode}'))
  return rows


def make_row(
  axis: str, name: str, value: int | None, status: str, **facts: Any
) -> dict[str, Any]:
  """A line of the results; None where nothing is known."""
  figures = ('median_ms', 'spread_ms', 'samples', 'quiet', 'temp_mib', 'compile_s')
  return {
    'workload': axis,
    'variant': name,
    'framework': 'jax',
    'order': VARIANTS[name].order,
    'control': False,
    'value': value,
    **{figure: facts.get(figure) for figure in figures},
    'status': status,
  }
