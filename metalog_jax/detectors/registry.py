"""Name -> module. A module offers Config, PRESETS, NEEDS and make.

NEEDS are the labels that the default Config may see. Where that depends on the
settings, the module has `needs(config)` as well. One that would rather have an
encoder's vectors has PREFERS_ENCODER = True.
"""

import dataclasses
from types import ModuleType, SimpleNamespace
from typing import Any

from metalog_jax import errors
from metalog_jax.detectors import (
  deeplog,
  logmeta,
  logrobust,
  logtad,
  logtransfer,
  metalog,
  neurallog,
  pca,
  plelog,
  tca,
)
from metalog_jax.embeddings import sources

Module = ModuleType | SimpleNamespace

DETECTORS: dict[str, Module] = {
  'metalog': metalog,
  'logmeta': logmeta,
  'plelog': plelog,
  'logrobust': logrobust,
  'deeplog': deeplog,
  'neurallog': neurallog,
  'pca': pca,
  'tca_plelog': tca.before(plelog, 'PLELog'),
  'tca_logrobust': tca.before(logrobust, 'LogRobust'),
  'logtad': logtad,
  'logtransfer': logtransfer,
}


def get(name: str) -> Module:
  """Returns the detector's module.

  Raises:
    UserError: there is no such detector.
  """
  if name not in DETECTORS:
    raise errors.UserError(f'--detector={name} is not one of {", ".join(DETECTORS)}')
  return DETECTORS[name]


def preset(detector: str, name: str) -> Any:
  """The Config of a detector's preset.

  Raises:
    UserError: there is no such detector or preset.
  """
  presets = get(detector).PRESETS
  if name not in presets:
    raise errors.UserError(f'--preset={name} is not one of {", ".join(presets)}')
  return presets[name]


def choose(detector: str, name: str, vectors: str | None, encoder: str | None) -> Any:
  """A preset with the event vectors that are asked for: see `sources.choose`.

  Flags of the config are to be read after this, for they depend on what is chosen.

  Raises:
    UserError: there is no such detector or preset, or both vectors are asked for.
  """
  config, prefers = preset(detector, name), prefers_encoder(detector)
  embedding = sources.choose(config.embedding, vectors, encoder, prefers)
  return dataclasses.replace(config, embedding=embedding)


def prefers_encoder(detector: str) -> bool:
  """Whether events are to have an encoder's vectors, where it is installed."""
  return getattr(get(detector), 'PREFERS_ENCODER', False)


def needs(module: Module, config: Any) -> frozenset[str]:
  """The labels that the detector may see with these settings; see `base.blind`."""
  return module.needs(config) if hasattr(module, 'needs') else module.NEEDS


def table() -> str:
  """The detectors as Markdown: what README.md holds."""
  lines = [
    '| detector | what it is | labels it may see | presets |',
    '|---|---|---|---|',
  ]
  for name, module in DETECTORS.items():
    what = module.__doc__.splitlines()[0].rstrip('.')
    labels = ', '.join(sorted(label.replace('_', ' ') for label in module.NEEDS))
    presets = ', '.join(f'`{preset}`' for preset in module.PRESETS)
    lines.append(f'| `{name}` | {what} | {labels or "none"} | {presets} |')
  return '\n'.join(lines)


if __name__ == '__main__':
  print(table())
