"""Simulated systems: their logs, labels and grammars."""

import collections
import csv
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from metalog_jax import errors
from metalog_jax.logs import formats, store, systems
from metalog_jax.simulation import grammar as grammars
from metalog_jax.simulation import render, sampling, simulate, writer

FORMATS = {
  'blockstore': 'hdfs',
  'supercomputer': 'bgl',
  'cloud': 'openstack',
  'cluster': 'thunderbird',
}
ROOT = pathlib.Path(__file__).parents[2]
ALL = pytest.mark.parametrize('system', FORMATS)


def plans(system, number, seed=0, anomalous=False):
  draw = np.random.default_rng(seed).random
  grammar = grammars.load(system)
  return [
    sampling.session(grammar, draw, age, anomalous) for age in np.linspace(0, 1, number)
  ]


# sha256 of log, labels and truth that version 0.2.0 wrote with --sessions=1100 --seed=5
# --anomalies=0.4 (more than a block of sessions). Change them only for a new log.
GOLDEN = {
  'blockstore': 'ae2dab553ebd52c474c58d5cfb623ce2a95bffe4cd706f79f037977b483970b7',
  'supercomputer': '2ba98018acbdd4f94045a66730bda3d4277837fe0b60c062f62ba632b303b8d8',
  'cloud': '17132172f38d65333bbbab1ed7df4073d0eefe8664cae615a6c8b9396700fd08',
  'cluster': '8f84bfea9b8254dba5e355afaad81e87721522290cb5017bb69643c951599510',
}


@ALL
def test_bytes_are_those_of_the_last_version(system, tmp_path):
  written = simulate(system, tmp_path, 1100, seed=5, anomalies=0.4)
  content = hashlib.sha256()
  for path in filter(None, (written.log, written.labels, written.truth)):
    content.update(path.read_bytes())
  assert content.hexdigest() == GOLDEN[system]


def truth(written):
  return list(csv.DictReader(written.truth.open()))


@ALL
def test_equal_seeds_give_equal_bytes(system, tmp_path):
  first = simulate(system, tmp_path / 'a', 300, seed=7)
  command = ['-m', 'experiments.simulate', f'--system={system}', '--sessions=300']
  command += ['--seed=7', f'--out={tmp_path / "b"}']
  env = {**os.environ, 'PYTHONHASHSEED': '12345'}
  out = subprocess.run(
    [sys.executable, *command], env=env, check=True, capture_output=True, text=True
  ).stdout
  assert out.startswith(f'SIMULATED {system}')
  other = simulate(system, tmp_path / 'c', 300, seed=8)
  for path in filter(None, (first.log, first.labels, first.truth)):
    assert path.read_bytes() == (tmp_path / 'b' / path.name).read_bytes()
  assert first.log.read_bytes() != other.log.read_bytes()


@ALL
def test_prepare_reads_every_session_message_and_label(system, tmp_path, monkeypatch):
  said, draw = set(), sampling.session

  def session(*arguments):
    plan = draw(*arguments)
    said.update(plan.messages)
    return plan

  monkeypatch.setattr(sampling, 'session', session)
  written = simulate(system, tmp_path / 'logs', 1200, seed=1, anomalies=0.3)
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
  assert len(prepared.templates) - 1 == len(said)  # each its own; one is unknown
  assert len(said) > 0.7 * len(grammars.load(system).messages)


@ALL
def test_lines_fit_their_format_in_order_and_interleaved(system, tmp_path):
  written = simulate(system, tmp_path, 300, seed=2)
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
    for plan in plans(system, 2000, anomalous=anomalous):
      if plan.kind not in (sampling.HEALTHY, 'unrecovered'):
        continue
      words = [name.split('.') for name in plan.messages if '.' in name]
      last = {number: role for role, number in words}
      stays = [number for number, role in last.items() if role == 'lost']
      assert len(stays) == (plan.kind == 'unrecovered')
      seen += bool(words)
    assert seen > (100 if anomalous else 10)


def test_after_recovery_counts_alone_do_not_tell():
  """The bags of an unrecovered fault with recoveries also occur in health."""

  def bags(anomalous):
    found = collections.Counter()
    for seed in range(4000):
      draw = np.random.default_rng(seed).random
      words = [w.split('.')[0] for w in sampling._fault_messages(0, draw, anomalous)]
      if 'regained' in words:
        found[words.count('lost'), words.count('regained')] += 1
    total = found.total()
    return {bag: count / total for bag, count in found.items()}

  healthy, anomalous = bags(False), bags(True)
  assert healthy.keys() == anomalous.keys()
  assert all(abs(healthy[bag] - anomalous[bag]) < 0.05 for bag in healthy)


@ALL
def test_kinds_are_what_they_say(system):
  grammar = grammars.load(system)
  found = collections.defaultdict(list)
  for plan in plans(system, 3000, anomalous=True):
    found[plan.kind].append(plan)
    assert 0 <= plan.alert < len(plan.messages)
  assert found.keys() == sampling.KINDS.keys()
  assert sum(grammar.kinds.values()) == pytest.approx(1)
  for name, share in grammar.kinds.items():
    assert abs(len(found[name]) / 3000 - share) < 0.03
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
  """Late sessions say harmless things that early ones never do, and in other rates."""
  healthy = plans(system, 6000)
  early, late = (
    collections.Counter(name for plan in part for name in set(plan.messages))
    for part in (healthy[:1200], healthy[-1200:])
  )
  assert sum(late[name] >= 3 for name in late.keys() - early.keys()) >= 3
  assert max(abs(late[name] - early[name]) for name in late) > 0.08 * 1200


@ALL
def test_sessions_repeat_as_those_of_real_systems_do(system):
  """Compare the table of real and simulated systems in docs/data.md."""
  healthy = plans(system, 3000)
  sequences = {tuple(plan.messages) for plan in healthy}
  bags = collections.Counter(tuple(sorted(plan.messages)) for plan in healthy)
  assert 0.02 < len(sequences) / 3000 < 0.3 and 0.01 < len(bags) / 3000 < 0.1
  assert sum(count for _, count in bags.most_common(10)) > 0.75 * 3000
  seen = collections.Counter(name for plan in healthy for name in set(plan.messages))
  assert sum(count < 9 for count in seen.values()) >= 4  # benign events can be rare


@ALL
def test_anomalies_show_as_new_events_and_in_counts_absence_and_order(system):
  healthy = plans(system, 3000)
  known = {name for plan in healthy for name in plan.messages}
  steps = set.intersection(*(set(plan.messages) for plan in healthy))
  bags = {tuple(sorted(plan.messages)) for plan in healthy}
  shown = collections.Counter()
  for plan in plans(system, 1000, seed=1, anomalous=True):
    shown['event'] += bool(is_new := set(plan.messages) - known)
    shown['absence'] += bool(is_absent := not is_new and steps - set(plan.messages))
    is_bag = tuple(sorted(plan.messages)) in bags
    shown['counts'] += not (is_new or is_absent or is_bag)
    shown['order'] += is_bag
  assert 450 < shown['event'] < 900
  assert min(shown[way] for way in ('absence', 'counts', 'order')) > 5


@ALL
def test_sessions_are_of_typical_length(system):
  lengths = [len(plan.messages) for plan in plans(system, 500)]
  assert 10 < np.mean(lengths) < 40 and max(lengths) < 120  # one window of a node


def test_session_ids_differ():
  for system in FORMATS:
    session_id = render.SESSION_IDS[grammars.load(system).log.session_id]
    names = {session_id(number, number) for number in range(70_000)}
    assert len(names) == 70_000


def test_memory_does_not_grow_with_the_log(tmp_path, monkeypatch):
  monkeypatch.setattr(writer, 'BLOCK', 50)

  def peak(sessions):
    tracemalloc.start()
    simulate('blockstore', tmp_path, sessions)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found

  peak(100)  # what is loaded once
  assert peak(1600) < 1.3 * peak(400)


@ALL
def test_variety_makes_every_seed_another_system(system, tmp_path):
  """Same words, other rates: how often sessions repeat, and what goes wrong."""
  base = grammars.load(system)
  others = [grammars.load(system, 1.0, seed) for seed in range(8)]
  repeats = []
  for grammar in others:
    assert grammar.messages == base.messages
    assert sum(grammar.kinds.values()) == pytest.approx(1)
    draw = np.random.default_rng(0).random
    plans = [
      sampling.session(grammar, draw, age, False) for age in np.linspace(0, 1, 500)
    ]
    repeats.append(len({tuple(sorted(plan.messages)) for plan in plans}) / 500)
  assert max(repeats) > 2 * min(repeats)
  assert np.ptp([grammar.kinds['fatal'] for grammar in others]) > 0.15
  written = [
    simulate(system, tmp_path / name, 60, seed=1, variety=variety).log.read_bytes()
    for name, variety in (('a', 1.0), ('b', 1.0), ('c', 0.0))
  ]
  assert written[0] == written[1] != written[2]


def test_rules():
  numbers = iter([0.9, 0.0, 0.1, 0.3, 0.9, 0.5, 0.5, 0.3])

  def names(written, age=0.0):
    return grammars.rule(written)(lambda: next(numbers), age)

  assert names({'repeat': 'a', 'times': [1, 3], 'share': 0.5}) == ['a']
  assert names({'repeat': ['a', 'b'], 'times': [1, 3], 'share': 0.5}) == ['a', 'b'] * 3
  assert names({'maybe': 'a', 'share': 0.5}) == ['a']
  assert names({'maybe': 'a', 'share': 0.5}) == []
  assert names({'pick': ['a', 'b'], 'shares': [0.4, 0.6]}) == ['b']
  assert names({'maybe': 'a', 'share': [0.0, 1.0]}, age=0.6) == ['a']
  assert names({'mixed': ['a', 'b'], 'share': 0.2}) == ['a', 'b']
  assert names({'maybe': 'a', 'share': 1.0, 'since': 0.5}, age=0.4) == []  # no draw
  mixed = grammars.rule({'mixed': ['a', 'b', 'c'], 'share': 1.0})
  orders = {tuple(mixed(np.random.default_rng(seed).random, 0)) for seed in range(40)}
  assert len(orders) == 6 and all(sorted(order) == ['a', 'b', 'c'] for order in orders)


@pytest.mark.parametrize(
  'system, sessions, seed, anomalies, message',
  [
    ('nosuch', 10, 0, 0.1, '--system='),
    ('clod', 10, 0, 0.1, "did you mean 'cloud'"),
    ('cloud', 0, 0, 0.1, '--sessions=0'),
    ('cloud', 10, -1, 0.1, '--seed=-1'),
    ('cloud', 10, 0, 1.5, '--anomalies=1.5'),
    ('cloud', 10, 0, float('nan'), '--anomalies=nan'),
    ('cloud', 10, 0, 0.1, '--variety=2'),
  ],
)
def test_bad_arguments_are_named(system, sessions, seed, anomalies, message, tmp_path):
  with pytest.raises(errors.UserError, match=message):
    variety = 2 if 'variety' in message else 0
    simulate(system, tmp_path / 'out', sessions, seed, anomalies, variety)
  assert not (tmp_path / 'out').exists()
