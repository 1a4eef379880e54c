"""What a few labels change in `metalog scan`: F1 of the sessions that have none."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from metalog_jax.scanning import scan


def rows(
  name: str, log: str, labels: Mapping[str, str], draws: int, folder: pathlib.Path
) -> list[dict[str, Any]]:
  """F1 without labels and the change with them, over draws of the labelled sessions.

  Args:
    labels: of sessions; '' is good.
    folder: for files of labels.
  """
  before, out = _odd(scan.scan([log], scan.Options())), []
  path = folder / f'{name}_labels.csv'
  for reviewed in (False, True):
    for number in (1, 5):
      changes, usual = [], []
      for seed in range(draws):
        draw, chosen = np.random.default_rng([seed, number]), dict[str, int]()
        for label in (0, 1):
          of_class = [x for x, kind in labels.items() if bool(kind) == bool(label)]
          pool = [x for x in of_class if x in before] if reviewed else of_class
          size = min(number, len(pool))
          chosen |= dict.fromkeys(draw.choice(pool, size, replace=False), label)
        path.write_text(''.join(f'{x},{y}\n' for x, y in chosen.items()))
        after = _odd(scan.scan([log], scan.Options(labels=str(path))))
        rest = {x: bool(y) for x, y in labels.items() if x not in chosen}
        usual.append(_f1(rest, before))
        changes.append(_f1(rest, after) - usual[-1])
      out.append(
        {
          'log': name,
          'labels a class': number,
          'drawn from': 'odd sessions' if reviewed else 'all sessions',
          'F1 without': f'{np.mean(usual):.3f}',
          'change': f'{np.mean(changes):+.3f}',
          'worst': f'{min(changes):+.3f}',
          'best': f'{max(changes):+.3f}',
        }
      )
  return out


def _odd(found: Any) -> set[str]:
  return {row['id'] for row in found.session_rows() if row['anomalous']}


def _f1(truth: Mapping[str, bool], odd: set[str]) -> float:
  hits = sum(label and name in odd for name, label in truth.items())
  return 2 * hits / max(sum(truth.values()) + len(odd & truth.keys()), 1)
