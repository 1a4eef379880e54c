r"""`metalog scan` beside its peers on real logs without labels, all in one run.

  METALOG_DATA=data python -m experiments.scan_figures --peers_python=peers/bin/python

The peers (LogLead, drain3, LogLens) run where `pip install loglead drain3 loglensai`
was done, in an environment of their own; without --peers_python, or where one is not
installed, they are left out and it is said. Every tool gets the same plain files, is
started anew for each of them, and is timed from its command's start to its end.
Labels are read here alone, after all tools have ended.
"""

import csv
import gzip
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from sklearn import metrics

from experiments import main as program
from experiments.benches import bench_machine, following, scan_labels, scan_lines
from experiments.studies import markdown
from metalog_jax import atomic, errors
from metalog_jax.cli.options import Flag
from metalog_jax.simulation import simulate

PEERS = ('drain3', 'loglead', 'loglens')
DATA = ('hdfs', 'openstack', 'cinder', 'bgl')
KEYS = {
  'hdfs': r'(blk_-?\d+)',
  'openstack': r'instance: ([0-9a-f-]{36})',
  'cinder': r'^(\S+)',
  'bgl': '',
}
GOOD = 100  # rounds of Cinder that are a baseline
FLAGS = (
  Flag('data', [*DATA], 'which logs', [*DATA]),
  Flag('draws', 5, 'baselines of Cinder drawn at random, besides the first rounds',
       low=0),
  Flag('peers_python', '', 'Python where peers are installed'),
  Flag('peers', [*PEERS], 'which', [*PEERS]),
  Flag('lines', 2_000_000, 'simulated lines for the speed; 0: none', low=0),
  Flag('label_draws', 0, 'draws of labels (hdfs, openstack), in place of peers', low=0),
  Flag('following', 0, 'lines of a simulated day that is followed; 0: none', low=0),
  Flag('json', '', 'file to write the figures to'),
)  # fmt: skip


class Case(NamedTuple):
  """A log, a baseline or none, and what is right."""

  name: str
  what: str  # all, or what the baseline is
  log: str
  baseline: str
  key: str
  labels: dict[str, str]  # of sessions, or of lines by number: '' is good


def check(values: Any) -> None:
  """Refuses a machine without the data."""
  program.check_outputs(values, 'json')
  if values.data and not os.environ.get('METALOG_DATA'):
    raise errors.UserError('METALOG_DATA is not set: it names the folder of real logs')


def main(values: Any, rest: list[str]) -> None:
  """Measures and prints a table."""
  del rest
  peers = list(_installed(values)) if values.data and not values.label_draws else []
  with tempfile.TemporaryDirectory() as folder:
    rows, labelled = [], list[dict[str, Any]]()
    for number, case in enumerate(_cases(values, pathlib.Path(folder))):
      place = pathlib.Path(folder) / f'case{number}'
      place.mkdir()
      if values.label_draws:
        if case.what == 'itself' and case.key:
          draws = values.label_draws
          labelled += scan_labels.rows(case.name, case.log, case.labels, draws, place)
        continue
      rows += _rows(case, values, peers, place)
      print(f'{case.name}, baseline: {case.what}', file=sys.stderr)
    place = pathlib.Path(folder)
    speed = _speed(values.lines, place) if values.lines else []
    live = following.table(values.following, place) if values.following else []
  if rows:
    print('\n' + table(rows))
  if labelled:
    print('\n' + markdown.table(pl.DataFrame(labelled), words=3))
  if speed:
    print('\n' + markdown.table(pl.DataFrame(speed, strict=False)))
  for row in live:
    print('\n' + markdown.table(pl.DataFrame([row])))
  if values.json:
    about = {'machine': bench_machine.describe(), 'results': rows, 'speed': speed}
    about |= {'following': live, 'labels': labelled}
    atomic.write_json(values.json, about)


def table(rows: list[dict[str, Any]]) -> str:
  """The figures as Markdown; those of baselines drawn at random are means."""
  frame = pl.DataFrame(rows, infer_schema_length=None, strict=False)
  frame = frame.with_columns(pl.col('baseline').str.replace(r', draw \d+$', ', drawn'))
  means = pl.exclude('log', 'baseline', 'tool', 'types').mean()
  frame = frame.group_by('log', 'baseline', 'tool', maintain_order=True).agg(
    means, pl.col('types').first()
  )
  forms = dict.fromkeys(('AUPRC', 'F1'), '.3f') | {'false alarms': '.2%'}
  forms |= dict.fromkeys(('of first 10', 'of first 50'), '.0f')
  forms |= dict.fromkeys(('seconds', 'CPU s'), '.1f')
  texts = [
    {name: format(x, forms[name]) if name in forms else x for name, x in row.items()}
    for row in frame.iter_rows(named=True)
  ]
  return markdown.table(pl.DataFrame(texts), words=3)


def _installed(values: Any) -> Iterator[str]:
  """Names of the peers that can run; of the others it is said why not."""
  for name in values.peers:
    if not values.peers_python:
      print(f'{name} is left out: --peers_python is not given', file=sys.stderr)
      continue
    code = f'import {name}'
    done = subprocess.run([values.peers_python, '-c', code], capture_output=True)
    if done.returncode == 0:
      yield name
    else:
      print(f'{name} is left out: {values.peers_python} lacks it', file=sys.stderr)


def _rows(
  case: Case, values: Any, peers: list[str], place: pathlib.Path
) -> list[dict[str, Any]]:
  """A row for each detector of each tool."""
  command = [sys.executable, '-m', 'metalog_jax', 'scan', case.log, f'--out={place}']
  command += [f'--baseline={case.baseline}'] * bool(case.baseline)
  spent = _run(command)
  if case.key:
    rows = [json.loads(line) for line in (place / 'windows.jsonl').open()]
    rows = [row for row in rows if row['unit'] == 'session']
    judged = [[row[name] for row in rows] for name in ('id', 'score', 'anomalous')]
  else:
    judged = list(scan_lines.ranked(case.log, case.baseline))
  out = [_row(case, 'metalog scan', judged, spent)]
  here = pathlib.Path(__file__).parent / 'benches' / 'peers.py'
  for peer in peers:
    command = [values.peers_python, str(here), peer, case.log, str(place / 'peer.json')]
    command += [f'--key={case.key}'] * bool(case.key)
    if case.baseline:
      if peer == 'loglens':
        continue
      command.append(f'--baseline={case.baseline}')
    spent = _run(command)
    for name, result in json.loads((place / 'peer.json').read_text()).items():
      judged = [result[column] for column in ('ids', 'scores', 'odd')]
      out.append(_row(case, f'{peer}, {name}', judged, spent))
  return out


def _run(command: list[str]) -> dict[str, Any]:
  """Seconds by the clock and of the processors that a command takes.

  Raises:
    UserError: it fails; the message ends with what it said.
  """
  before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
  done = subprocess.run(command, capture_output=True, text=True)
  seconds = time.monotonic() - begin
  if done.returncode:
    raise errors.UserError(f'{" ".join(command)} failed: {done.stderr[-2000:]}')
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
  return {'seconds': round(seconds, 1), 'CPU s': round(cpu, 1)}


def _row(case: Case, tool: str, judged: Any, spent: dict[str, Any]) -> dict[str, Any]:
  """The figures of one detector; what it does not judge has the lowest score."""
  ids, scores, odd = judged
  at = {str(name): i for i, name in enumerate(ids)}
  order = [at.get(name, -1) for name in case.labels]
  kinds = np.array(list(case.labels.values()), str)
  labels = kinds != ''
  lowest = min(scores, default=0.0) - 1
  scores = np.array([*scores, lowest])[order]
  odd = np.array([*odd, False], bool)[order]
  first = np.argsort(-scores, kind='stable')
  right, wrong = int((odd & labels).sum()), int((odd & ~labels).sum())
  return {
    'log': case.name,
    'baseline': case.what,
    'tool': tool,
    'AUPRC': metrics.average_precision_score(labels, scores),
    'F1': 2 * right / max(right + wrong + int(labels.sum()), 1),
    'false alarms': wrong / max(int((~labels).sum()), 1),
    'of first 10': int(labels[first[:10]].sum()),
    'of first 50': int(labels[first[:50]].sum()),
    'types': f'{len(set(kinds[labels & odd]))} of {len(set(kinds[labels]))}',
    **spent,
  }


def _cases(values: Any, folder: pathlib.Path) -> Iterator[Case]:
  """The logs as plain files; of BGL, without its column of labels."""
  data = pathlib.Path(os.environ['METALOG_DATA'])
  if 'hdfs' in values.data:
    rows = csv.DictReader((data / 'hdfs' / 'anomaly_label.csv').open())
    labels = {x['BlockId']: 'odd' * (x['Label'] == 'Anomaly') for x in rows}
    lines = _lines(data / 'hdfs' / 'HDFS_2pct.log.gz')
    yield from _in_time(folder, 'hdfs', lines, labels)
  if 'openstack' in values.data:
    text = gzip.open(data / 'openstack' / 'sessions.jsonl.gz', 'rt')
    sessions = map(json.loads, text)
    labels = {x['session_id']: 'odd' * x['label'] for x in sessions}
    lines = _lines(data / 'openstack' / 'nova-sample.log.gz')
    yield from _in_time(folder, 'openstack', lines, labels)
  if 'cinder' in values.data:
    place = data / 'openstack_fi_cinder'
    rows = csv.DictReader((place / 'label.csv').open())
    labels = {x['session_id']: 'odd' * int(x['label']) for x in rows}
    lines = _lines(place / 'raw.log.gz')
    names = _sessions(lines, KEYS['cinder'])
    good = [x for x in dict.fromkeys(names) if x in labels and not labels[x]]
    choices = [(f'first {GOOD} good', good[:GOOD])]
    for seed in range(values.draws):
      drawn = np.random.default_rng(seed).choice(len(good), GOOD, replace=False)
      choices.append((f'{GOOD} good, draw {seed}', [good[i] for i in drawn]))
    for what, chosen in choices:
      yield _cut(folder, 'cinder', what, lines, names, set(chosen), labels)
  if 'bgl' in values.data:
    lines = _lines(data / 'bgl_100k' / 'BGL_first100000.log.gz')
    alert = [line.split(' ', 1)[0].removeprefix('-') for line in lines]
    lines = [f'- {line.split(" ", 1)[1]}' for line in lines]
    for share, what in ((0, 'itself'), (0.3, 'first 30 %')):
      begin = round(share * len(lines))
      labels = {str(i): x for i, x in enumerate(alert[begin:], 1)}
      log = _write(folder / f'bgl{begin}.log', lines[begin:])
      good = _write(folder / f'bgl{begin}good.log', lines[:begin]) if begin else ''
      yield Case('bgl', what, log, good, '', labels)


def _in_time(
  folder: pathlib.Path, name: str, lines: list[str], labels: dict[str, str]
) -> Iterator[Case]:
  """All of a log, and the sessions that begin first beside the others."""
  names = _sessions(lines, KEYS[name])
  order = [x for x in dict.fromkeys(names) if x in labels]
  log = _write(folder / f'{name}.log', lines)
  yield Case(name, 'itself', log, '', KEYS[name], {x: labels[x] for x in order})
  first = set(order[: round(0.3 * len(order))])
  yield _cut(folder, name, 'first 30 %', lines, names, first, labels)


def _cut(
  folder: pathlib.Path,
  name: str,
  what: str,
  lines: list[str],
  names: list[str],
  chosen: set[str],
  labels: dict[str, str],
) -> Case:
  """The chosen sessions as a baseline for the others; other lines as the one above."""
  good, rest, inside = [], [], True
  for line, session in zip(lines, names):
    inside = session in chosen if session else inside
    (good if inside else rest).append(line)
  mark = re.sub(r'\W+', '_', f'{name} {what}')
  paths = [
    _write(folder / f'{mark}{i}.log', part) for i, part in enumerate((rest, good))
  ]
  others = set(names) - chosen
  judged = {x: y for x, y in labels.items() if x in others}
  return Case(name, what, *paths, KEYS[name], judged)


def _lines(path: pathlib.Path) -> list[str]:
  return gzip.open(path, 'rt', errors='replace').read().splitlines()


def _sessions(lines: list[str], key: str) -> list[str]:
  matches = map(re.compile(key).search, lines)
  return [match[1] if match else '' for match in matches]


def _write(path: pathlib.Path, lines: list[str]) -> str:
  path.write_text('\n'.join(lines) + '\n')
  return str(path)


def _speed(lines: int, folder: pathlib.Path) -> list[dict[str, Any]]:
  """Scans of simulated lines, from the command's start to its findings."""
  written = simulate('blockstore', folder / 'simulated', lines // 15)
  text = pathlib.Path(written.log).read_text().splitlines()
  rows = []
  for number in (3000, lines):
    log = _write(folder / f'simulated{number}.log', text[:number])
    spent = _run([sys.executable, '-m', 'metalog_jax', 'scan', log])
    rate = round(number / spent['seconds'])
    rows.append({'simulated lines': number, **spent, 'lines/s': rate})
  return rows


if __name__ == '__main__':
  program.run()
