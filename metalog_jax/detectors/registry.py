"""Name -> module. A module offers exactly Config, PRESETS, NEEDS and make."""

from types import ModuleType

from metalog_jax.detectors import logmeta, metalog

DETECTORS: dict[str, ModuleType] = {'metalog': metalog, 'logmeta': logmeta}


def get(name: str) -> ModuleType:
  """Returns the detector's module.

  Raises:
    ValueError: there is no such detector.
  """
  if name not in DETECTORS:
    raise ValueError(f'--detector={name} is not one of {", ".join(DETECTORS)}')
  return DETECTORS[name]
