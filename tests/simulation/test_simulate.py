"""Simulated systems: their logs, labels and grammars."""

import collections
import csv
import os
import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from metalog_jax.logs import formats, store, systems
from metalog_jax.simulation import grammar as grammars
from metalog_jax.simulation import sampling, simulate

FORMATS = {
  'blockstore': 'hdfs',
  'supercomputer': 'bgl',
  'cloud': 'openstack',
  'cluster': 'thunderbird',
}
ALL = pytest.mark.parametrize('system', FORMATS)


def plans(system, number, seed=0, anomalous=False):
  draw = np.random.default_rng(seed).random
  grammar = simulate.SYSTEMS[system]
  return [
    sampling.session(grammar, draw, age, anomalous) for age in np.linspace(0, 1, number)
  ]


def truth(written):
  return list(csv.DictReader(written.truth.open()))


@ALL
def test_equal_seeds_give_equal_bytes(system, tmp_path):
  first = simulate.write(system, 300, 7, tmp_path / 'a')
  command = ['-m', 'experiments.simulate', f'--system={system}', '--sessions=300']
  command += ['--seed=7', f'--out={tmp_path / "b"}']
  env = {**os.environ, 'PYTHONHASHSEED': '12345'}
  out = subprocess.run(
    [sys.executable, *command], env=env, check=True, capture_output=True, text=True
  ).stdout
  assert out.startswith(f'SIMULATED {system}')
  other = simulate.write(system, 300, 8, tmp_path / 'c')
  for path in filter(None, (first.log, first.labels, first.truth)):
    assert path.read_bytes() == (tmp_path / 'b' / path.name).read_bytes()
  assert first.log.read_bytes() != other.log.read_bytes()


@ALL
def test_prepare_reads_every_session_message_and_label(system, tmp_path):
  written = simulate.write(system, 1200, 1, tmp_path / 'logs', anomalies=0.3)
  options = systems.Options(
    FORMATS[system],
    logs=(str(written.log),),
    labels=str(written.labels or ''),
    max_bad_lines='0',
  )
  manifest = systems.prepare(options, tmp_path / 'system')
  prepared = store.load(tmp_path / 'system')
  assert manifest['simulated'] and manifest['lines'] == written.lines
  rows = truth(written)
  expected = [int(row['Label'] == 'Anomaly') for row in rows]
  assert prepared.sessions.num == len(rows)
  assert sum(expected) == written.anomalies
  names = [name.split('#')[0] for name in prepared.sessions.ids]  # NODE#WINDOW
  labels = dict(zip(names, prepared.sessions.labels))
  assert labels == {row['SessionId']: one for row, one in zip(rows, expected)}
  lexicon = sampling.lexicon(simulate.SYSTEMS[system])
  assert len(prepared.templates) - 1 == len(lexicon)  # each its own; one is unknown


@ALL
def test_lines_fit_their_format_in_order_and_interleaved(system, tmp_path):
  written = simulate.write(system, 300, 2, tmp_path)
  lines = written.log.read_text().splitlines()
  assert len(lines) == written.lines
  form = formats.FORMATS[FORMATS[system]]
  matches = [re.match(form.line, line) for line in lines]
  assert all(matches)
  if form.label:
    tags = collections.Counter(match['label'] for match in matches)
    assert written.lines - tags['-'] == written.anomalies
  ids = '|'.join(re.escape(row['SessionId']) for row in truth(written))
  owners = [re.search(ids, line)[0] for line in lines]
  changes = sum(one != two for one, two in zip(owners, owners[1:]))
  assert changes > 0.8 * len(lines)
  times = [' '.join(match[part] for part in form.time) for match in matches]
  assert times == sorted(times)


@ALL
def test_faults_pass_in_health_and_stay_in_anomalies(system):
  for anomalous in (False, True):
    seen = 0
    for plan in plans(system, 600, anomalous=anomalous):
      if plan.kind not in (sampling.HEALTHY, 'unrecovered'):
        continue
      words = [name.split('.') for name in plan.messages if '.' in name]
      last = {number: role for role, number in words}
      stays = [number for number, role in last.items() if role == 'lost']
      assert len(stays) == (plan.kind == 'unrecovered')
      seen += bool(words)
    assert seen > 200


def test_after_recovery_counts_alone_do_not_tell():
  """The bags of an unrecovered fault with recoveries also occur in health."""

  def bags(anomalous):
    found = collections.Counter()
    for seed in range(4000):
      draw = np.random.default_rng(seed).random
      words = [w.split('.')[0] for w in sampling._episode(0, draw, anomalous)]
      if 'regained' in words:
        found[words.count('lost'), words.count('regained')] += 1
    total = found.total()
    return {bag: count / total for bag, count in found.items()}

  healthy, anomalous = bags(False), bags(True)
  assert healthy.keys() == anomalous.keys()
  assert all(abs(healthy[bag] - anomalous[bag]) < 0.05 for bag in healthy)


@ALL
def test_kinds_are_what_they_say(system):
  grammar = simulate.SYSTEMS[system]
  found = collections.defaultdict(list)
  for plan in plans(system, 3000, anomalous=True):
    found[plan.kind].append(plan)
    assert 0 <= plan.alert < len(plan.messages)
  assert found.keys() == sampling.KINDS.keys()
  for kind, (share, _) in sampling.KINDS.items():
    assert abs(len(found[kind]) / 3000 - share) < 0.03
  last = grammar.closing(lambda: 0.5, 1.0)[-1]
  first, second = grammar.ordered
  for plan in found['incomplete']:
    assert last not in plan.messages
  for plan in found['retries']:
    assert sum(name in grammar.attempts for name in plan.messages) >= 7
  for plan in found['skipped']:
    assert any(name not in plan.messages for name in grammar.mandatory)
  for plan in found['misordered']:
    assert plan.messages.index(second) < plan.messages.index(first)
  for kind in ('fatal', 'odd'):
    for plan in found[kind]:
      assert plan.messages[plan.alert].startswith(kind + '.')
  for plan in plans(system, 600):
    assert plan.messages[-1] == last and plan.alert == -1
    assert all(name in plan.messages for name in grammar.mandatory)
    assert not any(name.startswith(('fatal', 'odd')) for name in plan.messages)


@ALL
def test_health_drifts(system):
  """Late sessions say harmless things that early ones never do."""
  healthy = plans(system, 3000)
  early, late = (
    {name for plan in part for name in plan.messages}
    for part in (healthy[:600], healthy[-600:])
  )
  assert early < late and len(late - early) >= 5


@ALL
def test_sessions_are_of_typical_length(system):
  lengths = [len(plan.messages) for plan in plans(system, 500)]
  assert 10 < np.mean(lengths) < 40 and max(lengths) < 120  # one window of a node


def test_session_ids_differ():
  for system in FORMATS:
    form = simulate.render.FORMATS[system]()
    names = {form.name(number, number) for number in range(70_000)}
    assert len(names) == 70_000


def test_memory_does_not_grow_with_the_log(tmp_path, monkeypatch):
  monkeypatch.setattr(simulate, 'BLOCK', 50)

  def peak(sessions):
    tracemalloc.start()
    simulate.write('blockstore', sessions, 0, tmp_path)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found

  peak(100)  # what is loaded once
  assert peak(1600) < 1.3 * peak(400)


def test_rules():
  numbers = iter([0.0, 0.99, 0.3, 0.9, 0.5])
  draw = lambda: next(numbers)
  assert grammars.times(1, 3, 'a')(draw, 0) == ['a']
  assert grammars.times(1, 3, grammars.seq('a', 'b'))(draw, 0) == ['a', 'b'] * 3
  assert grammars.maybe(0.5, 'a')(draw, 0) == ['a']
  assert grammars.maybe(0.5, 'a')(draw, 0) == []
  assert grammars.pick('a', 'b')(draw, 0) == ['b']
  assert grammars.maybe(1.0, 'a', since=0.5)(draw, 0.4) == []  # draws nothing
  assert sorted(grammars.mixed('a', 'b', 'c')(np.random.default_rng(0).random, 0)) == [
    'a',
    'b',
    'c',
  ]


@pytest.mark.parametrize(
  'system, sessions, anomalies, told',
  [
    ('nosuch', 10, 0.1, '--system=nosuch'),
    ('cloud', 0, 0.1, '--sessions=0'),
    ('cloud', 10, 1.5, '--anomalies=1.5'),
  ],
)
def test_bad_arguments_are_named(system, sessions, anomalies, told, tmp_path):
  with pytest.raises(ValueError, match=told):
    simulate.write(system, sessions, 0, tmp_path, anomalies)


def test_an_interrupted_write_leaves_no_log(tmp_path, monkeypatch):
  def fail(*_):
    raise OSError('disk full')

  monkeypatch.setattr(simulate, '_say', fail)
  with pytest.raises(OSError):
    simulate.write('cloud', 10, 0, tmp_path)
  assert not [p for p in tmp_path.iterdir() if p.suffix in ('.log', '.csv')]
