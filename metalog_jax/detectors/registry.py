"""Name -> detector. A new one is a file in this folder and a line here.

The file is a module with these names; `Method` says what they are.

  Config, PRESETS    its settings, and named ones; 'default' is Config()
  needs(config)      the labels it may see
  make_detector      config -> `base.Detector`, which documents the functions of one

Its first docstring line is what the tables say of it. What it computes with (jax, nets)
is named by `lazy.module`, so that flags are read without waiting for it. Then
`tests/detectors/test_conformance.py` tests it like all others.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from metalog_jax import errors
from metalog_jax.detectors import (
  deeplog,
  evidence,
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
from metalog_jax.training import base


class Method(Protocol):
  """What a detector's module offers."""

  @property
  def Config(self) -> Callable[[], Any]: ...
  @property
  def PRESETS(self) -> Mapping[str, Any]: ...
  @property
  def needs(self) -> Callable[[Any], frozenset[str]]: ...
  @property
  def make_detector(self) -> Callable[[Any], base.Detector]: ...


DETECTORS: dict[str, Method] = {
  'evidence': evidence,
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
# Where an encoder is installed, their events have its vectors, as in their papers.
PREFER_ENCODER = frozenset({'logmeta'})


def get(name: str) -> Method:
  """The detector of this name.

  Raises:
    UserError: there is no such detector.
  """
  if name not in DETECTORS:
    raise errors.unknown_choice('--detector', name, DETECTORS)
  return DETECTORS[name]


def preset(detector: str, name: str) -> Any:
  """The Config of a detector's preset.

  Raises:
    UserError: there is no such detector or preset.
  """
  presets = get(detector).PRESETS
  if name not in presets:
    raise errors.unknown_choice('--preset', name, presets)
  return presets[name]


def choose(detector: str, name: str, vectors: str | None, encoder: str | None) -> Any:
  """A preset with the event vectors that are asked for: see `sources.choose`.

  Flags of the config are to be read after this, for they depend on what is chosen.

  Raises:
    UserError: there is no such detector or preset, or both vectors are asked for.
  """
  config, prefers = preset(detector, name), detector in PREFER_ENCODER
  embedding = sources.choose(config.embedding, vectors, encoder, prefers)
  return dataclasses.replace(config, embedding=embedding)


def markdown_table() -> str:
  """The detectors as Markdown: what docs/detectors.md holds."""
  lines = [
    '| detector | what it is | labels it may see | presets |',
    '|---|---|---|---|',
  ]
  for name, module in DETECTORS.items():
    what = (module.__doc__ or '').splitlines()[0].rstrip('.')
    needs = module.needs(module.Config())
    labels = ', '.join(sorted(label.replace('_', ' ') for label in needs))
    presets = ', '.join(f'`{preset}`' for preset in module.PRESETS)
    lines.append(f'| `{name}` | {what} | {labels or "none"} | {presets} |')
  return '\n'.join(lines)


if __name__ == '__main__':
  print(markdown_table())
