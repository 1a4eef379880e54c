"""Statistics of systems: by hand on a system of a few sessions."""

import numpy as np
import pytest

from experiments import system_statistics as program
from experiments.studies import system_statistics
from metalog_jax import types
from metalog_jax.logs import splits, store
from tests import builders

ROWS = [[1, 2, 3]] * 60 + [[1, 3, 2]] * 30 + [[1, 2, 2, 3]] * 30
ODD = {'new event': [1, 2, 3, 4], 'absence': [2, 3], 'counts': [1, 2, 3, 3],
       'order': [3, 2, 1]}  # fmt: skip


@pytest.fixture(name='system')
def fixture_system():
  rows = ROWS + [row for row in ODD.values() for _ in range(5)]
  labels = [0] * len(ROWS) + [1] * 5 * len(ODD)
  sessions = builders.sessions(rows, labels)
  sessions = sessions._replace(times=np.arange(float(len(rows))))
  names = (types.UNKNOWN_TEMPLATE, 'a', 'b', 'c', 'd')
  counts = np.bincount(sessions.events, minlength=5)
  return types.System('x', names, counts, sessions, {})


def test_each_anomaly_shows_by_its_plainest_sign(system, monkeypatch):
  split = splits.split(system, 'random', '30%', '0', 0)
  monkeypatch.setattr(splits, 'split', lambda *_: split)  # all 20 are tested
  row = system_statistics.row('x', system, seeds=1)
  for sign in ODD:
    assert row[f'anomalies shown by {sign}'] == '25.0'
  assert row['anomalies shown by nothing'] == '0.0'
  assert row['anomalies among these'] == row['new events that are faults'] == '100.0'


def test_repeats_and_drift(system):
  row = system_statistics.row('x', system, seeds=1)
  assert row['sessions, number'] == '140' and row['anomalous'] == '14.3'
  assert row['different sequences'] == '5.0'  # 7 of 140
  assert row['different bags'] == '3.6'  # 5: two pairs differ in order alone
  assert row['in the 10 most frequent bags'] == '100.0'
  # the last 40 normals: ten as the first ones are, thirty with two b's
  assert row['new bags in the last third'] == '75.0'
  assert row['length, median / 90 % / most'] == '3 / 4 / 4'


def test_the_program_has_a_column_for_each_folder(system, tmp_path, capsys):
  for name in ('one', 'two'):
    store.save(system, tmp_path / name)
  values = type('Values', (), {'systems': [], 'seeds': 1})
  values.systems = [str(tmp_path / name) for name in ('one', 'two')]
  program.main(values, [])
  head = capsys.readouterr().out.splitlines()[0]
  assert [cell.strip() for cell in head.strip('| ').split('|')] == ['one', 'two']
