"""Prints scores of every detector trained on some devices, as JSON.

  python -m tests.detectors.over_devices DEVICES

Without dropout, whose masks are each device's own.
"""

import json
import sys

import jax
import numpy as np

from metalog_jax.detectors import registry
from metalog_jax.evaluation import scoring
from metalog_jax.training import base
from tests.detectors import systems

STEPS = 3


def scores(name: str) -> list[float]:
  """Of some sessions, after a few steps."""
  module = registry.get(name)
  config = systems.small(module.Config(), dropout=0.0, target_dropout=0.0)
  detector = module.make_detector(config)
  transfer = base.blind(systems.transfer(), module.needs(config))
  state = detector.init(jax.random.key(0), transfer)
  if training := detector.training:
    stream, step = training.batches(transfer, 0), jax.jit(training.step)
    for i in range(STEPS):
      state, _ = step(state, training.put(stream.draw(i)))
  found = scoring.Scorer(detector).scores(state, systems.system(9, 20, 2))
  return np.asarray(found).tolist()


if __name__ == '__main__':
  jax.config.update('jax_num_cpu_devices', int(sys.argv[1]))
  jax.config.update('jax_disable_most_optimizations', True)
  names = sys.argv[2:] or sorted(registry.DETECTORS)
  print(json.dumps({name: scores(name) for name in names}))
