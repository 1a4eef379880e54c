"""Modules that are imported when they are first used.

Reading flags and `--help` need the settings of every detector, and must not wait for
jax. So what detectors compute with is named at the top of their files and imported when
the first attribute is asked for. (Python 3.15 has this in the language: PEP 810.)
"""

import importlib
import threading
from typing import Any


class _Module:
  """Stands for a module; imports nothing itself."""

  def __init__(self, name: str):
    self._name = name

  def __getattr__(self, attribute: str) -> Any:
    return getattr(importlib.import_module(self._name), attribute)


def module(name: str) -> Any:
  """The module of this full name, imported when it is first used.

  >>> jax = lazy.module('jax')
  """
  return _Module(name)


def soon(*names: str) -> None:
  """Imports modules of these full names in a thread, while other work goes on."""
  threading.Thread(target=lambda: [*map(importlib.import_module, names)]).start()
