"""Which figures the report of one run has."""

import functools
import re

import numpy as np

from metalog_jax.report import plots, results, run_folder
from metalog_jax.report.document import elements

_MOST_OTHERS = 6  # training curves that are neither a loss nor a score
_SCORES = ('f1', 'auroc', 'auprc', 'precision', 'recall', 'specificity', 'accuracy')
_NOT_CURVES = ('second', 'time', 'epoch')


def curves(run: run_folder.Run, test: str) -> list[elements.Figure]:
  """ROC, precision-recall and the scores of one test set."""
  scores = run.scores.get(test)
  if scores is None or not len(scores.labels):
    return []
  floors = {
    name: results.measures(run.result, test, 'all', name)
    for name in results.floors([run.result], test)
  }
  own = results.measures(run.result, test, 'all')
  judged = plots.Judged(
    scores.labels, scores.scores, run.result['detector'], own, floors
  )
  kinds = [('scores', 'Scores by label', plots.histogram)]
  if len(np.unique(scores.labels)) == 2:
    kinds = [
      ('roc', 'ROC', plots.roc),
      ('precision_recall', 'Precision and recall', plots.precision_recall),
      *kinds,
    ]
  name = _slug(results.tests([run.result]), test)
  more = f'; {scores.left_out:,} unlabelled left out' if scores.left_out else ''
  return [
    elements.Figure(
      f'{name}_{kind}', f'{text}, {test}{more}', functools.partial(draw, judged=judged)
    )
    for kind, text, draw in kinds
  ]


def _slug(names: list[str], name: str) -> str:
  """A file name of a test set; numbered, so that no two share one."""
  number = f'{names.index(name) + 1}_' if len(names) > 1 else ''
  return number + re.sub(r'[^A-Za-z0-9_-]+', '-', name)[:60]


def training(run: run_folder.Run) -> list[elements.Figure]:
  """Training curves: losses together, scores together, anything else alone."""
  history = {
    name: curve
    for name, curve in run.history.items()
    if len(curve[0]) and not any(word in name for word in _NOT_CURVES)
  }
  losses = {name: c for name, c in history.items() if 'loss' in name}
  scores = {
    name: c for name, c in history.items() if name.rpartition('_')[2] in _SCORES
  }
  groups = [('loss', 'Losses', losses, 'loss'), ('scores', 'Scores', scores, 'score')]
  others = {k: c for k, c in history.items() if k not in losses and k not in scores}
  groups += [
    (f'other_{i}', name.replace('_', ' '), {name: curve}, name)
    for i, (name, curve) in enumerate(list(others.items())[:_MOST_OTHERS])
  ]
  return [
    elements.Figure(
      f'training_{name}',
      f'{text} while training',
      functools.partial(
        plots.curves,
        history=group,
        ylabel=label.replace('_', ' '),
        kept=run.result.get('best_step'),
      ),
    )
    for name, text, group, label in groups
    if group
  ]
