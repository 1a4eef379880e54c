"""Leave one system out, adapt to it with few labels, and compare with what is simpler.

Enters: System folders and settings. Leaves: one record for each (target, labels, seed,
method, kind of sessions), and tables and figures of them.
"""

import collections
import dataclasses
import json
import pathlib
from typing import Any, NamedTuple

from metalog_jax import job, model, transfer
from metalog_jax.detectors import logmeta, registry
from metalog_jax.evaluation import metrics, results, scoring
from metalog_jax.evaluation.document import blocks, canvas, markdown

META, BEFORE, SCRATCH = 'meta-learned', 'before adaptation', 'from scratch'
POOLED, TUNED, FLOOR = 'pooled, zero-shot', 'pooled, fine-tuned', 'best floor'
METHODS = (META, BEFORE, SCRATCH, POOLED, TUNED, FLOOR)
KINDS = ('all', 'distinct', 'unseen')
NAME = 'few_shot'


class Plan(NamedTuple):
  """What to compare."""

  systems: tuple[str, ...]
  targets: tuple[str, ...]
  labels: tuple[str, ...]  # of each class: counts or shares
  method: logmeta.Config
  preset: str
  unlabelled: str
  most_sources: int  # 0: all
  seeds: int
  curves: bool


def run(plan: Plan, out: pathlib.Path, say=print) -> list[dict[str, Any]]:
  """Trains and adapts, or takes up what `out` has of it; one record a figure.

  Raises:
    ValueError: training was stopped by a signal, or the data are unfit.
  """
  records = []
  for target in plan.targets:
    sources = [s for s in plan.systems if s != target]
    sources = tuple(sources[: plan.most_sources or len(sources)])
    for seed in range(plan.seeds):
      trained = _train(plan, sources, target, seed, out, say)
      for labels in plan.labels:
        say(f'{_name(target)}: {labels} labels of each class, seed {seed}')
        records += _cell(plan, trained, target, labels, seed, out)
  return records


def _name(folder: str) -> str:
  return pathlib.Path(folder).name


def _methods(plan: Plan) -> dict[str, logmeta.Config]:
  """The settings of each way to come by a detector."""
  plain = dict(inner_steps=0, rates='fixed', anneal=0, adapted='all', gradient='mixed')
  tune = plain | logmeta.FINE_TUNE
  return {
    META: plan.method,
    TUNED: dataclasses.replace(plan.method, **tune),
    SCRATCH: dataclasses.replace(plan.method, **tune, steps=0),
  }


def _train(plan, sources, target, seed, out, say) -> dict[str, pathlib.Path]:
  """One training on the sources for each method that has one."""
  folders = {}
  for method in (META, TUNED):
    folder = out / 'runs' / f'{_name(target)}-{_slug(method)}-{seed}'
    data = transfer.Options(source=sources, test=(), validation=0.0, seed=seed)
    say(f'{_name(target)} left out: training {method}, seed {seed}')
    chosen = job.Job('logmeta', plan.preset, _methods(plan)[method], data)
    if job.start(chosen, folder, say=lambda _: None) is None:
      raise ValueError('training was stopped by a signal; the same command goes on')
    folders[method] = folder
  return folders


def _cell(plan, trained, target, labels, seed, out) -> list[dict[str, Any]]:
  """All methods on the same labels of a target."""
  data = transfer.Options(
    target=target,
    target_normals=labels,
    target_anomalies=labels,
    split='random',
    validation=0.0,
    seed=seed,
    unlabelled=plan.unlabelled,
  )
  about = {'target': _name(target), 'labels': labels, 'seed': seed}
  records = []
  for method, config in _methods(plan).items():
    folder = out / 'runs' / f'{_name(target)}-{_slug(method)}-{seed}-{_slug(labels)}'
    chosen = job.Job(
      'logmeta', plan.preset, config, data, model=str(trained.get(method, ''))
    )
    result = job.start(chosen, folder, say=lambda _: None)
    told, rest = result['adaptation'], result['test']['rest']
    before = {META: BEFORE, TUNED: POOLED}.get(method)
    for kind in KINDS:
      found = {method: rest[kind]}
      if before:
        found[before] = told['before']['rest'][kind]
      if method == META:
        floors = [f[kind] for f in rest['floors'].values()]
        found[FLOOR] = max(floors, key=lambda m: m['f1'] or 0.0)
      for name, measured in found.items():
        figures = {key: measured[key] for key in ('f1', 'auroc', 'auprc')}
        records.append(about | {'method': name, 'kind': kind} | figures)
    if method == META:
      records[-1] |= {'seconds': told['seconds'], 'pseudo': told['pseudo_labels']}
      if plan.curves:
        records[-1]['curve'] = _curve(chosen, folder)
  return records


def _curve(chosen: job.Job, folder: pathlib.Path) -> list[float | None]:
  """F1 over all sessions after 0, 1, .. steps of adaptation, without pseudo-labels."""
  path = folder / 'curve.json'
  if path.exists():
    return json.loads(path.read_text())
  detector = logmeta.make(chosen.method)
  source = pathlib.Path(chosen.model)
  problem = transfer.make(
    chosen.data,
    chosen.method.embedding,
    logmeta.NEEDS,
    model.known(source),
    registry.reader(logmeta, chosen.method),
  )
  state = model.trained_state(source, detector, problem.train.target.vectors)
  scorer, test = scoring.Scorer(detector), problem.tests['rest']
  curve = []
  for steps in range(chosen.method.adapt_steps + 1):
    adapted, _ = detector.adapt(
      state, problem.train, chosen.data.seed, steps=steps, rounds=0
    )
    scores = scorer.scores(adapted, test)
    curve.append(metrics.measure(test.sessions.labels, scores, 0.5)['f1'])
  path.write_text(json.dumps(curve))
  return curve


def _slug(text: str) -> str:
  return ''.join(c if c.isalnum() or c == '.' else '_' for c in text)


def table(records: list[dict[str, Any]], kind: str, key: str = 'f1') -> blocks.Table:
  """Per cent, mean ± spread over seeds; a row for each target and number of labels."""
  found = collections.defaultdict(list)
  for r in records:
    if r['kind'] == kind and r[key] is not None:
      found[r['target'], r['labels'], r['method']].append(100 * r[key])
  cells = list(dict.fromkeys((r['target'], r['labels']) for r in records))
  rows = [
    [*cell, *(_spread(found[(*cell, method)]) for method in METHODS)] for cell in cells
  ]
  caption = (
    f'{key} over {kind} sessions, per cent; threshold 0.5. The best floor is picked '
    'after seeing the test.'
  )
  return blocks.Table(
    ('left out', 'labels a class', *METHODS), rows, caption=caption, words=2
  )


def _spread(values: list[float]) -> str:
  if not values:
    return '–'
  mean, std = results.spread(values)
  return f'{mean:.1f}' + (f' ± {std:.1f}' if len(values) > 1 else '')


def write(records: list[dict[str, Any]], out: pathlib.Path) -> pathlib.Path:
  """few_shot.json, few_shot.md and the figures, where matplotlib can draw them."""
  (out / 'figures').mkdir(parents=True, exist_ok=True)
  (out / f'{NAME}.json').write_text(json.dumps(records, indent=1) + '\n')
  content: list[Any] = [blocks.Title('Few labels of a system left out', '')]
  content += [table(records, kind) for kind in KINDS]
  content.append(table(records, 'all', 'auprc'))
  drawn = [
    blocks.Figure(
      _slug(target),
      f'F1 by labels, {target}',
      lambda ax, t=target: by_labels(ax, records, t),
      (6, 4.5),
    )
    for target in dict.fromkeys(r['target'] for r in records)
  ]
  if any('curve' in r for r in records):
    draw = lambda ax: by_steps(ax, records)
    drawn.append(blocks.Figure('steps', 'F1 by steps of adaptation', draw, (6, 4.5)))
  images = []
  try:
    for figure in drawn:
      image = canvas.png(figure.draw, figure.size)
      (out / 'figures' / f'{figure.name}.png').write_bytes(image)
      images.append(figure.name)
  except canvas.PlotsMissing as missing:
    print(f'no plots: {missing}')
  path = out / f'{NAME}.md'
  path.write_text(markdown.render([*content, blocks.Figures(drawn)], images))
  return path


def by_labels(ax, records: list[dict[str, Any]], target: str) -> None:
  """Mean F1 over all sessions of each method, against the number of labels."""
  labels = list(dict.fromkeys(r['labels'] for r in records))
  for method in METHODS:
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
  ax.legend()


def by_steps(ax, records: list[dict[str, Any]]) -> None:
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
  ax.legend()
