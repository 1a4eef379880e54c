"""Figures of runs, drawn on matplotlib axes: C0, C1, ... are the theme's colours."""

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from metalog_jax import clean
from metalog_jax.report import canvas, repeats, results
from metalog_jax.runs import record

_BINS = 40
_MOST_POINTS = 2000  # of a curve; more than a figure has pixels across
_SMOOTH_ABOVE = 100  # points from which a curve also gets a running mean
_MOST_CURVES = 8  # figures of training
_MOST_ROWS = 30  # of a comparison
_LONGEST_NAME = 44  # characters
_SCORES = ('f1', 'auroc', 'auprc', 'precision', 'recall', 'specificity', 'accuracy')
_NOT_CURVES = ('second', 'time', 'epoch')
DASHES = ('-', '--', '-.', ':')


class Row(NamedTuple):
  """F1 of one setting in a comparison, in 0..1."""

  name: str
  seeds: Sequence[float]
  floor: float  # the best one; NaN: none
  quoted: float = math.nan  # what a paper prints


def of_test(run: record.Run, test: str) -> list[canvas.Figure]:
  """ROC, precision-recall and the scores of one test set."""
  scores = run.scores.get(test)
  if scores is None or not len(scores.labels):
    return []
  kinds = {'roc': ('ROC', roc)}
  kinds['precision_recall'] = ('Precision and recall', precision_recall)
  kinds = kinds if len(np.unique(scores.labels)) == 2 else {}
  kinds['scores'] = ('Scores by label', histogram)
  names = results.tests([run.result])
  slug = re.sub(r'[^A-Za-z0-9_-]+', '-', test)[:60]
  slug = f'{names.index(test) + 1}_{slug}' if len(names) > 1 else slug
  rest = f'; {scores.left_out:,} unlabelled left out' if scores.left_out else ''
  return [
    canvas.Figure(f'{slug}_{kind}', f'{text}, {test}{rest}', draw, (run, test))
    for kind, (text, draw) in kinds.items()
  ]


def of_training(run: record.Run) -> list[canvas.Figure]:
  """Training curves: losses together, scores together, anything else alone."""
  shown: dict[tuple[str, str], dict[str, Any]] = {('loss', 'Losses'): {}}
  shown['score', 'Scores'] = {}
  for name, curve in run.history.items():
    if not len(curve[0]) or any(word in name for word in _NOT_CURVES):
      continue
    words = name.replace('_', ' ')
    is_score = name.rpartition('_')[2] in _SCORES
    key = ('score', 'Scores') if is_score else (words, words)
    key = ('loss', 'Losses') if 'loss' in name else key
    if len(shown) < _MOST_CURVES or key in shown:
      shown.setdefault(key, {})[name] = curve
  best = run.result.get('best_step')
  names = ('loss', 'scores', *(f'other_{i}' for i in range(_MOST_CURVES)))
  return [
    canvas.Figure(f'training_{name}', f'{text} while training', curves, (part, y, best))
    for name, ((y, text), part) in zip(names, shown.items(), strict=False)
    if part
  ]


def of_groups(groups: Sequence[repeats.Group]) -> list[canvas.Figure]:
  """F1 of every group and test set, one figure a kind of sessions."""
  tested = [(group, test) for group in groups for test in results.tests(group.results)]
  has_places = len({(group.systems, test) for group, test in tested}) > 1
  figures = []
  for kind in results.KINDS:
    rows = []
    for group, test in tested:
      name = f'{group.name}\n{group.systems}, {test}' if has_places else group.name
      best = results.best_floor(group.results, test, kind)[1].mean
      rows.append(Row(name, results.each(group.results, test, kind), best))
    rows = [row for row in rows if row.seeds][:_MOST_ROWS]
    size = (5.0, 1.3 + (0.85 if has_places else 0.65) * len(rows))
    name, text = f'comparison_{kind}', f'F1 over {kind} sessions'
    figures += [canvas.Figure(name, text, comparison, (rows,), size)] if rows else []
  return figures


def curves(ax, history: record.History, ylabel: str, used: int | None = None) -> None:
  """Training curves; `used` is the step that was kept.

  The axis is logarithmic where positive values span more than a factor of 30. A curve
  of many points is drawn faint, its running mean strong.
  """
  for index, (name, (steps, values)) in enumerate(history.items()):
    style = {'color': f'C{index % 6}', 'label': visible(name.replace('_', ' '))}
    style['linestyle'] = DASHES[index % len(DASHES)]
    if len(values) > _SMOOTH_ABOVE:
      ax.plot(*thin(steps, values), color=style['color'], alpha=0.25, linewidth=1)
      width = max(len(values) // 40, 2)
      steps = steps[width - 1 :]
      values = np.convolve(values, np.ones(width) / width, mode='valid')
    ax.plot(*thin(steps, values), marker='o' if len(values) == 1 else '', **style)
  every = np.concatenate([values for _, values in history.values()])
  if every.min() > 0 and every.max() > 30 * every.min():
    ax.set_yscale('log')
  if used is not None:
    ax.axvline(used, color='grey', linestyle=':', label=f'kept: step {used:,}')
  ax.set(xlabel='training step', ylabel=ylabel)
  ax.grid(axis='y')
  legend(ax)


def cumulative(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Anomalies and normals at or above each different score, highest first, after 0."""
  order = np.argsort(-scores, kind='stable')
  ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))
  hits = np.cumsum(labels[order] == 1)[ends]
  return np.r_[0, hits], np.r_[0, ends + 1 - hits]


def roc(ax, run: record.Run, test: str) -> None:
  """Receiver operating characteristic, the threshold's point and the floors'."""
  hits, alarms = cumulative(*run.scores[test][1:3])
  place = lambda m: (1 - m['specificity'], m['recall'])
  _with_floors(ax, run, test, (alarms / alarms[-1], hits / hits[-1]), 'auroc', place)
  ax.plot([0, 1], [0, 1], color='grey', linewidth=1.5, linestyle=':', label='chance')
  unit_axes(ax, 'false alarms (share of normal)', 'recall (share of anomalous)')


def precision_recall(ax, run: record.Run, test: str) -> None:
  """Precision over recall, the threshold's point and the floors'."""
  hits, alarms = cumulative(*run.scores[test][1:3])
  precision = hits[1:] / (hits + alarms)[1:]
  curve = hits / hits[-1], np.r_[precision[0], precision]
  place = lambda m: (m['recall'], m['precision'])
  # Drawn as steps: the area is the average precision.
  _with_floors(ax, run, test, curve, 'auprc', place, drawstyle='steps-pre')
  rate = run.scores[test].labels.mean()
  ax.axhline(rate, color='grey', linewidth=1.5, linestyle=':', label='chance')
  unit_axes(ax, 'recall (share of anomalous)', 'precision (share of alarms)')


def _with_floors(ax, run: record.Run, test: str, curve, measure: str, place, **style):
  """A curve, and where thresholds put the detector and the floors, the best by name.

  `place` gives the coordinates of measures; `style` is the curve's.
  """
  names = results.floors([run.result], test)
  area = results.value([run.result], test, 'all', measure)
  label = f'{run.result["detector"]}, {results.MEASURES[measure]} {area.percent(1)} %'
  ax.plot(*thin(*curve), color='C0', label=visible(label), **style)
  hollow = {'markerfacecolor': 'none', 'zorder': 3}
  best = {'marker': 'D', 'markersize': 8, 'color': 'C1', 'markeredgewidth': 2} | hollow
  detector = {'marker': 'o', 'markersize': 9, 'color': 'C0', 'zorder': 4}
  for floors, label, marker in (
    ([''], 'at its threshold', detector),
    (names[:1], f'best floor: {visible(names[0])}' if names else '', best),
    (names[1:], 'other floors', {'marker': 'o', 'color': 'grey'} | hollow),
  ):
    measured = [results.measures(run.result, test, 'all', name) for name in floors]
    keys = ('specificity', 'recall', 'precision')
    points = [place(m) for m in measured if None not in map(m.get, keys)]
    if points:
      ax.plot(*zip(*points), linestyle='', clip_on=False, label=label, **marker)


def histogram(ax, run: record.Run, test: str) -> None:
  """Scores of normal and anomalous sessions, and the threshold between them."""
  _, labels, scores, _ = run.scores[test]
  low, high = scores.min(), scores.max()
  if low == high:
    low, high = low - 0.5, high + 0.5
  bins = np.linspace(low, high, _BINS + 1)
  for label, name, color in ((0, 'normal', 'C0'), (1, 'anomalous', 'C1')):
    part = scores[labels == label]
    text = f'{name} ({len(part):,})'
    ax.hist(part, bins, color=color, linewidth=1.5, histtype='step')
    ax.hist(part, bins, color=color, alpha=0.35, histtype='stepfilled', label=text)
  threshold = results.value([run.result], test, 'all', 'threshold').mean
  if math.isfinite(threshold):
    text = f'threshold {threshold:.3g}'
    ax.axvline(threshold, color='grey', linestyle='--', label=text)
  ax.set_yscale('log')
  ax.set(xlabel='score (higher is more anomalous)', ylabel='sessions', ylim=(0.7, None))
  ax.grid(axis='y')
  legend(ax)


def comparison(ax, rows: Sequence[Row]) -> None:
  """F1 of several settings: each seed, the mean, the best floor, the paper's figure."""
  for index, row in enumerate(rows):
    seeds, at = 100 * np.asarray(row.seeds, float), len(rows) - 1 - index
    points: list[tuple] = [
      (seeds, 'o', 'one seed', {'color': 'C0', 'alpha': 0.5}),
      ([seeds.mean()], '|', 'mean', {'color': 'C0', 'markersize': 16}),
      (
        [100 * row.floor],
        'D',
        'best floor',
        {'color': 'C1', 'markerfacecolor': 'none'},
      ),
    ]
    if not all(math.isnan(row.quoted) for row in rows):
      style = {'color': 'C2', 'markersize': 9}
      points.append(([100 * row.quoted], 'x', 'quoted', style))
    for values, marker, label, style in points:
      style |= {'linestyle': '', 'marker': marker, 'markeredgewidth': 2}
      ax.plot(values, [at] * len(values), label='' if index else label, **style)
    where = {'transform': ax.get_yaxis_transform(), 'va': 'bottom', 'fontsize': 10}
    ax.text(0, at + 0.22, visible(row.name), in_layout=False, **where)
  ax.set(xlabel='F1 (%)', yticks=[], ylim=(-0.5, len(rows) - 0.2))
  ax.spines['left'].set_visible(False)
  ax.grid(axis='x')
  legend(ax, columns=2 if len(ax.get_legend_handles_labels()[0]) > 3 else 3)


def thin(*columns: np.ndarray) -> list[np.ndarray]:
  """Every so many points, the last one always."""
  keep = np.unique(np.linspace(0, len(columns[0]) - 1, _MOST_POINTS).astype(int))
  return [column[keep] for column in columns]


def visible(name: str) -> str:
  """Text from data as a figure shows it: printable, and `$` begins no formula."""
  lines = [clean.text(line, _LONGEST_NAME) for line in name.split('\n')]
  return '\n'.join(lines).replace('$', r'\$')


def unit_axes(ax, xlabel: str, ylabel: str) -> None:
  """Both axes from 0 to 1, with a legend."""
  ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1), ylim=(0, 1.02))
  ax.grid()
  legend(ax)


def legend(ax, columns: int = 2) -> None:
  """Above the axes, where it hides nothing."""
  where = {'loc': 'lower left', 'bbox_to_anchor': (-0.02, 1)}
  ax.legend(**where, ncols=columns, columnspacing=1, handlelength=1.6)
