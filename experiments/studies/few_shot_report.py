"""Tables and figures of `few_shot`'s records."""

import collections
import pathlib
from typing import Any

from experiments.studies import few_shot
from metalog_jax import atomic
from metalog_jax.report import results
from metalog_jax.report.document import canvas, elements, markdown

NAME = 'few_shot'
PAIRS = (  # what one idea adds where all else is the same
  ('meta-learned, adapted', 'pooled, same steps'),
  ('meta-learned, fine-tuned', 'pooled, fine-tuned'),
  ('meta-learned, fine-tuned', 'from scratch'),
  ('meta-learned, adapted', 'from scratch'),
  ('meta-learned, adapted', 'meta-learned, not adapted'),
  ('the same, with pseudo-labels', 'meta-learned, adapted'),
  ('meta-learned, fine-tuned', few_shot.LINEAR),
  ('meta-learned, fine-tuned', few_shot.FLOOR),
)
Records = list[dict[str, Any]]


def table(records: Records, kind: str, key: str = 'f1') -> elements.Table:
  """Per cent, mean ± spread over seeds; a column a target and number of labels."""
  found = collections.defaultdict(list)
  for r in records:
    if r['kind'] == kind and r[key] is not None:
      found[r['target'], r['labels'], r['method']].append(100 * r[key])
  cells = list(dict.fromkeys((r['target'], r['labels']) for r in records))
  rows = [
    [method, *(_spread(found[(*cell, method)]) for cell in cells)]
    for method in few_shot.METHODS
  ]
  caption = (
    f'{results.MEASURES[key]} over {kind} sessions, per cent; threshold 0.5. The best '
    'floor is picked after seeing the test.'
  )
  heads = [f'{target}, {labels}' for target, labels in cells]
  return elements.Table(('labels a class', *heads), rows, caption=caption, words=1)


def gains(records: Records) -> elements.Table:
  """Points of F1 that one arm is above another on the same labels."""
  f1 = {
    (r['target'], r['labels'], r['seed'], r['method']): 100 * (r['f1'] or 0)
    for r in records
    if r['kind'] == 'all'
  }
  cells = list(dict.fromkeys(key[:3] for key in f1))
  labels = list(dict.fromkeys(r['labels'] for r in records))
  rows = []
  for arm, other in PAIRS:
    both = [c for c in cells if (*c, arm) in f1 and (*c, other) in f1]
    found = [
      [f1[(*c, arm)] - f1[(*c, other)] for c in both if c[1] == n] for n in labels
    ]
    rows.append([arm, other, *map(_gain, found)])
  caption = (
    'Points of F1 over all sessions, mean ± spread over left-out systems and seeds, '
    'and how often it is more than none.'
  )
  return elements.Table(('arm', 'above', *labels), rows, caption=caption, words=2)


def _gain(values: list[float]) -> str:
  wins = sum(value > 0 for value in values)
  return f'{_spread(values)} ({wins} of {len(values)})' if values else '–'


def pseudo(records: Records) -> elements.Table:
  """How many pseudo-labels the last round had, and the share of them that is true."""
  found = collections.defaultdict(list)
  for r in records:
    if r.get('pseudo'):
      found[r['target'], r['labels']].append(r['pseudo'][-1])
  rows = []
  for (target, labels), rounds in found.items():
    given = [x['given'] for x in rounds]
    right = [100 * x['right'] / max(x['given'], 1) for x in rounds]
    rows.append([target, labels, _spread(given), _spread(right)])
  heads = ('left out', 'labels a class', 'pseudo-labels', 'of them true, per cent')
  return elements.Table(
    heads, rows, caption='Pseudo-labels of the last round.', words=2
  )


def _spread(values: list[float]) -> str:
  if not values:
    return '–'
  mean, std = results.spread(values)
  return f'{mean:.1f}' + (f' ± {std:.1f}' if len(values) > 1 else '')


def write(records: Records, out: pathlib.Path) -> pathlib.Path:
  """few_shot.json, few_shot.md and the figures, where matplotlib can draw them."""
  (out / 'figures').mkdir(parents=True, exist_ok=True)
  atomic.write_json(out / f'{NAME}.json', records)
  content: list[Any] = [elements.Title('Few labels of a system left out', '')]
  content.append(gains(records))
  content += [table(records, kind) for kind in few_shot.KINDS]
  content += [table(records, 'all', 'auprc'), pseudo(records)]
  drawn = [
    elements.Figure(
      few_shot.slug(target),
      f'F1 by labels, {target}',
      lambda ax, t=target: by_labels(ax, records, t),
      (6, 4.5),
    )
    for target in dict.fromkeys(r['target'] for r in records)
  ]
  if any('curve' in r for r in records):
    draw = lambda ax: by_steps(ax, records)
    drawn.append(elements.Figure('steps', 'F1 by steps of adaptation', draw, (6, 4.5)))
  images = []
  try:
    for figure in drawn:
      image = canvas.png(figure.draw, figure.size)
      (out / 'figures' / f'{figure.name}.png').write_bytes(image)
      images.append(figure.name)
  except canvas.PlotsMissing as missing:
    print(f'no plots: {missing}')
  path = out / f'{NAME}.md'
  path.write_text(markdown.render([*content, elements.Figures(drawn)], images))
  return path


def by_labels(ax, records: Records, target: str) -> None:
  """Mean F1 over all sessions of each method, against the number of labels."""
  labels = list(dict.fromkeys(r['labels'] for r in records))
  for method in few_shot.METHODS:
    own = [
      r for r in records
      if (r['target'], r['method'], r['kind']) == (target, method, 'all')
    ]  # fmt: skip
    means = [
      results.spread([100 * (r['f1'] or 0) for r in own if r['labels'] == n])[0]
      for n in labels
    ]
    ax.plot(range(len(labels)), means, marker='o', label=method)
  ax.set_xticks(range(len(labels)), labels)
  ax.set(xlabel='labels of each class', ylabel='F1, per cent', ylim=(0, 101))
  ax.legend(fontsize=7)


def by_steps(ax, records: Records) -> None:
  """Mean F1 after each step of adaptation, for each target and number of labels."""
  curves = collections.defaultdict(list)
  for r in records:
    if 'curve' in r:
      curves[f'{r["target"]}, {r["labels"]}'].append(
        [100 * (x or 0) for x in r['curve']]
      )
  for name, found in curves.items():
    ax.plot([sum(x) / len(x) for x in zip(*found)], marker='o', label=name)
  ax.set(xlabel='steps of adaptation', ylabel='F1, per cent', ylim=(0, 101))
  ax.legend(fontsize=7)
