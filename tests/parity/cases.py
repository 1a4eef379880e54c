"""What is compared with PyTorch: small problems, made by numpy alone."""

from typing import Any

import jax
import numpy as np

from metalog_jax import types
from metalog_jax.nets import logmeta, metalog
from tests import grids
from tests.meta import problems

FORMS = {
  'paper': metalog.Network(hidden=4),
  'released': metalog.Network(
    hidden=4, bidirectional=True, attention='guide', head='linear'
  ),
  'logmeta': logmeta.Network(hidden=4),
}
INNER_LR, BETA, STEPS = 0.3, 4.0, 2


def problem(form: str) -> problems.Problem:
  return problems.logs(FORMS[form], STEPS, dim=3, lengths=(5, 4, 4, 2, 1), rows=6)


def full() -> problems.Problem:
  """The paper's sizes: two layers of 100, five inner steps."""
  lengths = sorted(np.random.default_rng(0).integers(1, 21, 12), reverse=True)
  return problems.logs(
    metalog.Network(),
    5,
    dim=100,
    lengths=tuple(lengths),
    rows=13,
  )


def plain(batch: types.Batch) -> dict[str, Any]:
  """A batch without its layout, for the oracle."""
  return {
    'vectors': batch.vectors,
    'sequences': grids.sequences(batch),
    'labels': batch.labels,
    'weights': batch.weights,
  }


def splits(task: types.Task) -> list[types.Batch]:
  num = len(task.support.labels)
  return [jax.tree.map(lambda x: x[i], task.support) for i in range(num)]  # noqa: B023


def flat(tree: Any) -> dict[str, np.ndarray]:
  """Nested dicts -> {'a.b': array}."""
  return {
    '.'.join(key.key for key in path): np.asarray(leaf)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }
