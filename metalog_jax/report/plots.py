"""Figures of a run, drawn on matplotlib axes.

Every function takes axes first and knows nothing of files or themes (those are
`document.canvas`): C0, C1, ... are the colours of whatever theme is on.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

_BINS = 40
_MOST_POINTS = 2000  # of a curve; more than a figure has pixels across
_SMOOTH_ABOVE = 100  # points from which a curve also gets a running mean
DASHES = ('-', '--', '-.', ':')


class Judged(NamedTuple):
  """Labelled scores of one test set, and what its table says of them."""

  labels: np.ndarray  # [S] 0 or 1
  scores: np.ndarray  # [S] finite
  detector: str
  measures: dict[str, Any]  # M of the detector over all sessions
  floors: dict[str, dict[str, Any]]  # name -> M


def curves(
  ax,
  history: dict[str, tuple[np.ndarray, np.ndarray]],
  ylabel: str,
  kept: int | None = None,
) -> None:
  """Training curves: key -> (steps [N], values [N]); `kept`: the step that is used.

  The axis is logarithmic where positive values span more than a factor of 30. A
  curve of many points is drawn faint, its running mean strong.
  """
  for index, (name, (steps, values)) in enumerate(history.items()):
    style = {'color': f'C{index % 6}', 'label': name.replace('_', ' ')}
    style['linestyle'] = DASHES[index % len(DASHES)]
    if len(values) > _SMOOTH_ABOVE:
      ax.plot(*thin(steps, values), color=style['color'], alpha=0.25, linewidth=1)
      steps, values = _running_mean(steps, values)
    ax.plot(*thin(steps, values), marker='o' if len(values) == 1 else '', **style)
  every = np.concatenate([values for _, values in history.values()])
  if every.min() > 0 and every.max() > 30 * every.min():
    ax.set_yscale('log')
  if kept is not None:
    ax.axvline(kept, color='grey', linestyle=':', label=f'kept: step {kept:,}')
  ax.set(xlabel='training step', ylabel=ylabel)
  ax.grid(axis='y')
  legend(ax)


def _running_mean(steps, values):
  width = max(len(values) // 40, 2)
  mean = np.convolve(values, np.ones(width) / width, mode='valid')
  return steps[width - 1 :], mean


def thin(*columns):
  """Every so many points, the last one always."""
  keep = np.unique(np.linspace(0, len(columns[0]) - 1, _MOST_POINTS).astype(int))
  return [column[keep] for column in columns]


def cumulative(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Anomalies and normals at or above each different score, highest first, after 0."""
  order = np.argsort(-scores, kind='stable')
  ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))
  hits = np.cumsum(labels[order] == 1)[ends]
  return np.r_[0, hits], np.r_[0, ends + 1 - hits]


def roc(ax, judged: Judged) -> None:
  """Receiver operating characteristic, the threshold's point and the floors'."""
  hits, alarms = cumulative(judged.labels, judged.scores)
  ax.plot(
    *thin(alarms / alarms[-1], hits / hits[-1]),
    color='C0',
    label=_named(judged, 'AUROC'),
  )
  _points(ax, judged, lambda m: _pair(m, 'specificity', 'recall', flip=True))
  ax.plot([0, 1], [0, 1], color='grey', linewidth=1.5, linestyle=':', label='chance')
  unit_axes(ax, 'false alarms (share of normal)', 'recall (share of anomalous)')


def precision_recall(ax, judged: Judged) -> None:
  """Precision over recall, the threshold's point and the floors'."""
  hits, alarms = cumulative(judged.labels, judged.scores)
  precision = hits[1:] / (hits + alarms)[1:]
  ax.plot(  # its area is the average precision
    *thin(hits / hits[-1], np.r_[precision[0], precision]),
    color='C0',
    drawstyle='steps-pre',
    label=_named(judged, 'AUPRC'),
  )
  _points(ax, judged, lambda m: _pair(m, 'recall', 'precision'))
  rate = judged.labels.mean()
  ax.axhline(rate, color='grey', linewidth=1.5, linestyle=':', label='chance')
  unit_axes(ax, 'recall (share of anomalous)', 'precision (share of alarms)')


def _named(judged: Judged, measure: str) -> str:
  value = judged.measures.get(measure.lower())
  return judged.detector + ('' if value is None else f', {measure} {100 * value:.1f} %')


def _pair(measures: dict[str, Any], x: str, y: str, flip: bool = False):
  pair = [measures.get(x), measures.get(y)]
  if None in pair:
    return None
  return (1 - pair[0], pair[1]) if flip else tuple(pair)


def _points(ax, judged: Judged, place: Callable) -> None:
  """Where thresholds put the floors, the best one by name, and the detector."""
  if point := place(judged.measures):
    style = {'marker': 'o', 'markersize': 9, 'color': 'C0', 'zorder': 4}
    ax.plot(*point, linestyle='', clip_on=False, label='at its threshold', **style)
  ranked = sorted(judged.floors, key=lambda name: -(judged.floors[name].get('f1') or 0))
  hollow = {'linestyle': '', 'markerfacecolor': 'none', 'clip_on': False, 'zorder': 3}
  if ranked and (point := place(judged.floors[ranked[0]])):
    style = {'marker': 'D', 'markersize': 8, 'color': 'C1', 'markeredgewidth': 2}
    ax.plot(*point, label=f'best floor: {ranked[0]}', **style, **hollow)
  others = [p for name in ranked[1:] if (p := place(judged.floors[name]))]
  if others:
    ax.plot(*zip(*others), marker='o', color='grey', label='other floors', **hollow)


def unit_axes(ax, xlabel: str, ylabel: str, columns: int = 2) -> None:
  """Both axes from 0 to 1, with a legend."""
  ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1), ylim=(0, 1.02))
  ax.grid()
  legend(ax, columns)


def legend(ax, columns: int = 2) -> None:
  """Above the axes, where it hides nothing."""
  ax.legend(
    loc='lower left',
    bbox_to_anchor=(-0.02, 1),
    ncols=columns,
    columnspacing=1,
    handlelength=1.6,
  )


def histogram(ax, judged: Judged) -> None:
  """Scores of normal and anomalous sessions, and the threshold between them."""
  low, high = judged.scores.min(), judged.scores.max()
  if low == high:
    low, high = low - 0.5, high + 0.5
  bins = np.linspace(low, high, _BINS + 1)
  for label, name, color in ((0, 'normal', 'C0'), (1, 'anomalous', 'C1')):
    scores = judged.scores[judged.labels == label]
    text = f'{name} ({len(scores):,})'
    style = {'color': color, 'linewidth': 1.5, 'histtype': 'step'}
    ax.hist(scores, bins, **style)
    ax.hist(scores, bins, color=color, alpha=0.35, histtype='stepfilled', label=text)
  threshold = judged.measures.get('threshold')
  if threshold is not None and math.isfinite(threshold):
    text = f'threshold {threshold:.3g}'
    ax.axvline(threshold, color='grey', linestyle='--', label=text)
  ax.set_yscale('log')
  ax.set(xlabel='score (higher is more anomalous)', ylabel='sessions', ylim=(0.7, None))
  ax.grid(axis='y')
  legend(ax)


def comparison(
  ax,
  rows: Sequence[tuple[str, Sequence[float], float]],
  quoted: Sequence[float] = (),
) -> None:
  """F1 of several settings: each seed, the mean, the best floor, the paper's figure.

  Args:
    ax: axes.
    rows: (name, F1 of each seed in 0..1, F1 of the best floor or nan).
    quoted: F1 that the paper prints for each row, or nan; empty: for none.
  """
  quoted = quoted or [math.nan] * len(rows)
  for index, ((name, seeds, floor), told) in enumerate(zip(rows, quoted, strict=True)):
    seeds, at = 100 * np.asarray(seeds, float), len(rows) - 1 - index
    points = (
      (seeds, 'o', 'one seed', {'color': 'C0', 'alpha': 0.5}),
      ([seeds.mean()], '|', 'mean', {'color': 'C0', 'markersize': 16}),
      ([100 * floor], 'D', 'best floor', {'color': 'C1', 'markerfacecolor': 'none'}),
      ([100 * told], 'x', 'quoted', {'color': 'C2', 'markersize': 9}),
    )
    for values, marker, label, style in points:
      if label == 'quoted' and all(map(math.isnan, quoted)):
        continue
      style |= {'linestyle': '', 'marker': marker, 'markeredgewidth': 2}
      ax.plot(values, [at] * len(values), label='' if index else label, **style)
    where = {'transform': ax.get_yaxis_transform(), 'va': 'bottom', 'fontsize': 10}
    ax.text(0, at + 0.22, name, **where)
  ax.set(xlabel='F1 (%)', yticks=[], ylim=(-0.5, len(rows) - 0.2))
  ax.spines['left'].set_visible(False)
  ax.grid(axis='x')
  legend(ax, columns=2 if len(ax.get_legend_handles_labels()[0]) > 3 else 3)
