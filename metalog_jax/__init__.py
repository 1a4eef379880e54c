"""Log anomaly detection with meta-learning across systems, in JAX.

`import metalog_jax as ml` offers ml.scan, ml.prepare, ml.train, ml.adapt, ml.load and
ml.simulate (see `metalog_jax.api`). Importing it imports nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from metalog_jax.api import (
    Run,
    System,
    adapt,
    load,
    prepare,
    scan,
    simulate,
    train,
    train_seeds,
  )

__version__ = '0.2.0.dev0'
__all__ = [
  'Run',
  'System',
  'adapt',
  'load',
  'prepare',
  'scan',
  'simulate',
  'train',
  'train_seeds',
]


def __getattr__(name: str) -> Any:
  if name not in __all__:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  return getattr(importlib.import_module('metalog_jax.api'), name)


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})
