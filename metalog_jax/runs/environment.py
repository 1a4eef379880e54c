"""What a run was made with: versions, devices, and the commit of the package."""

import importlib.metadata
import os
import pathlib
import platform
import subprocess
from collections.abc import Sequence
from typing import Any

import jax

import metalog_jax

PACKAGES = tuple(
  'jax jaxlib flax optax numpy orbax-checkpoint drain3 gensim scikit-learn'.split()
)


def describe(seeds: Sequence[int] = ()) -> dict[str, Any]:
  """The content of environment.json; null for what cannot be found out.

  Args:
    seeds: of the runs that train in one program with this one.
  """
  return {
    'metalog_jax': metalog_jax.__version__,
    'python': platform.python_version(),
    'versions': {name: _version(name) for name in PACKAGES},
    'devices': [str(d) for d in jax.devices()],
    'machine': platform.machine(),
    'commit': commit(pathlib.Path(__file__)),
    'seeds_side_by_side': list(seeds) or None,
  }


def _version(package: str) -> str | None:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def commit(file: pathlib.Path) -> str | None:
  """The commit of the git repository that tracks a file; None without git or one.

  A package that is installed below another repository is not tracked there, and that
  repository's commit says nothing of it.
  """

  def git(*arguments: str) -> str | None:
    aside = {k: v for k, v in os.environ.items() if not k.startswith('GIT_')}
    try:
      done = subprocess.run(
        ['git', '-C', str(file.parent), *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        env=aside,
      )
    except (OSError, subprocess.SubprocessError):
      return None
    return done.stdout.strip() or None if done.returncode == 0 else None

  return (
    git('rev-parse', 'HEAD') if git('ls-files', '--error-unmatch', file.name) else None
  )
