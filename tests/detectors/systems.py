"""Small simulated systems that every detector can be fitted on in a moment."""

import dataclasses
from typing import Any

import numpy as np

from metalog_jax import types
from tests import builders

# Rows: unknown, begin, work, work, end, failure, recovery.
MEANING = np.array(
  [
    [0.1, 0.1, 0.1, 0.1, 0.0],
    [1.0, 0.0, 0.0, 0.0, 0.0],
    [0.6, 0.6, 0.0, 0.1, 0.0],
    [0.0, 1.0, 0.3, 0.0, 0.0],
    [0.0, 0.3, 1.0, 0.0, 0.0],
    [0.0, 0.1, 0.9, 0.2, 0.5],
    [0.2, -0.9, -0.8, 0.3, 0.0],
  ],
  np.float32,
)
SMALL = {  # settings that make a detector quick, where it has them
  'hidden': 6,
  'layers': 1,
  'batch': 16,
  'parts': 4,
  'inner_steps': 2,
  'steps': 40,
  'epochs': 6,
  'outer_lr': 2e-2,
  'lr': 2e-2,
  'target_epochs': 6,
  'heads': 2,
  'size': 4,
  'warmup': 2,
  'patience': 0,
  'anomaly_share': 0.5,
  'ica': 3,
  'min_cluster': 5,
  'min_samples': 5,
}


def small(config: Any, **changes: Any) -> Any:
  """`config` with the settings of SMALL that it has, and some changes."""
  settings = {**SMALL, **changes}
  for f in dataclasses.fields(config):
    value = getattr(config, f.name)
    if f.name != 'embedding' and dataclasses.is_dataclass(value):
      config = dataclasses.replace(config, **{f.name: small(value, **changes)})
    elif f.name in settings:
      config = dataclasses.replace(config, **{f.name: settings[f.name]})
  return config


def system(seed: int, num: int = 100, shift: int = 0) -> types.Dataset:
  """Sessions begin, work, end; one in five fails without recovery: an anomaly.

  Args:
    shift: how event ids are turned around, so that ids differ by system.
  """
  rng = np.random.default_rng(seed)
  order = np.concatenate([[0], 1 + np.roll(np.arange(6), shift)])
  rows, labels = [], []
  for i in range(num):
    row = [1, *rng.integers(2, 4, rng.integers(2, 6)).tolist()]
    kind = i % 5
    row += {0: [5], 1: [6, 4]}.get(kind, [4])
    rows.append([int(order[e]) for e in row])
    labels.append(int(kind == 0))
  vectors = np.zeros_like(MEANING)
  vectors[order] = MEANING
  return types.Dataset(f's{seed}', builders.sessions(rows, labels), vectors)


def transfer(zero_shot: bool = False) -> types.Transfer:
  """A labelled source, and a target some of whose sessions have no label."""
  target = system(1, 100, 2)
  labels = target.sessions.labels.copy()
  labels[60:] = -1
  target = target._replace(sessions=target.sessions._replace(labels=labels))
  return types.Transfer((system(0),), None if zero_shot else target)
