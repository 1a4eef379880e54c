"""Which threshold new sessions are judged by, and what verdicts are."""

import dataclasses
import gzip
import io
import json
import math

import numpy as np
import polars as pl
import pytest

from metalog_jax import errors
from metalog_jax.logs import systems
from metalog_jax.runs import detect, model, problem, run
from metalog_jax.training import loop
from tests import builders
from tests.runs import test_baseline_runs, test_run

quiet = lambda _: None
fixture_root = test_run.fixture_root


def trained(root, workdir, detector='pca', alert_rate=0.0, test=('rest',), **method):
  chosen = test_baseline_runs.make_job(root, detector, **method)
  data = dataclasses.replace(chosen.data, source=(), test=test)
  chosen = dataclasses.replace(chosen, data=data, alert_rate=alert_rate)
  return run.start(chosen, workdir, say=quiet)


def test_the_threshold_is_the_targets(root, tmp_path):
  tests = (str(root / 'system_a'), 'rest')
  result = trained(root, tmp_path, alert_rate=0.3, test=tests)
  of = {name: test['all']['threshold'] for name, test in result['test'].items()}
  assert of['system_a'] != of['rest']
  assert model.load(tmp_path).threshold == of['rest']


def test_a_test_without_labels_is_said(root, tmp_path):
  systems.prepare(
    systems.Options('hdfs', logs=(str(root / 'a' / 'x.log'),)), tmp_path / 'bare'
  )
  result = trained(root, tmp_path / 'run', test=('rest', str(tmp_path / 'bare')))
  says = 'bare: no session has a label, so that nothing is measured'
  assert [x for x in result['warnings'] if x.startswith(says)]
  assert not [x for x in result['warnings'] if x.startswith('rest: no ')]


def test_no_threshold_of_another_system(root, tmp_path):
  trained(root, tmp_path, alert_rate=0.3, test=(str(root / 'system_a'),))
  loaded, log = model.load(tmp_path), root / 'b' / 'x.log'
  with pytest.raises(errors.UserError, match='give --threshold'):
    detect.detect(loaded, log)
  assert len(list(detect.detect(loaded, log, 0.5))) == 60


def test_a_detector_keeps_its_threshold_without_tests(root, tmp_path):
  result = trained(root, tmp_path, test=())
  assert result['threshold']['from'] == 'q_statistic'
  assert model.load(tmp_path).threshold == result['threshold']['value'] != 0.5


@pytest.mark.parametrize('threshold', [math.nan, math.inf, -math.inf])
def test_a_threshold_is_a_number(root, tmp_path, threshold):
  trained(root, tmp_path)
  with pytest.raises(errors.UserError, match='--threshold'):
    detect.detect(model.load(tmp_path), root / 'b' / 'x.log', threshold)


def test_verdicts_are_records(root, tmp_path):
  trained(root, tmp_path)
  log = root / 'b' / 'x.log'
  verdicts = detect.detect(model.load(tmp_path), str(log))
  assert verdicts.summary is None
  records = list(verdicts)
  assert records == list(verdicts) == json.loads(json.dumps(records))
  lines = log.read_text().splitlines()
  for record in records:
    for side in ('first', 'last'):
      place = record[side]
      assert place['file'] == str(log) and place['line'] == record[f'{side}_line']
      assert record['session_id'] in lines[place['line'] - 1]
    assert 0 < record['first']['time'] <= record['last']['time']
    for event in record['events']:
      assert event['text'] == lines[event['lines'][0] - 1]
    assert {'score', 'p_value', 'anomalous', 'events', 'evidence'} <= set(record)
  frame = verdicts.to_polars()
  assert isinstance(frame, pl.DataFrame) and frame.height == verdicts.summary.sessions
  assert frame['anomalous'].sum() == verdicts.summary.anomalous


def test_the_last_line_has_its_own_time(root, tmp_path):
  trained(root, tmp_path)
  head, block = '081109 20{} 1 INFO dfs.X: ', 'got blk_77'
  log = tmp_path / 'x.log'
  times = ('3501', '3502', '3509')
  log.write_text(''.join(f'{head.format(time)}{block}\n' for time in times))
  (verdict,) = detect.detect(model.load(tmp_path), log)
  assert verdict['last']['time'] - verdict['first']['time'] == 8
  assert verdict['last']['line'] == 3


@pytest.mark.parametrize('name', ['x.log.gz', '-'])
def test_texts_of_compressed_files_and_none_of_standard_input(
  root, tmp_path, monkeypatch, name
):
  trained(root, tmp_path)
  data = (root / 'b' / 'x.log').read_bytes()
  if name == '-':
    monkeypatch.setattr('sys.stdin', io.TextIOWrapper(io.BytesIO(data)))
  else:
    name = tmp_path / name
    name.write_bytes(gzip.compress(data))
  lines = data.decode().splitlines()
  for record in detect.detect(model.load(tmp_path), name):
    for event in record['events']:
      quoted = lines[event['lines'][0] - 1]
      assert event['text'] == (None if name == '-' else quoted)


def test_a_limit_out_of_reach_is_said(root, tmp_path):
  """DeepLog calls all sessions normal where g is not below its worst rank."""
  result = trained(root, tmp_path, 'deeplog', top=9)
  (warning,) = result['warnings']
  assert 'rest: the threshold, 9, can never be exceeded' in warning
  verdicts = detect.detect(model.load(tmp_path), root / 'b' / 'x.log')
  assert not any(v['anomalous'] for v in verdicts)
  assert 'can never be exceeded' in verdicts.summary.warnings[0]


def test_messages_that_no_alert_covers_are_said(root, tmp_path):
  """Unknown ones, and events that came after those of the training."""
  trained(root, tmp_path)
  judge = detect.Judge(model.load(tmp_path), 1e9, known=2)
  for rows in ([[1, 1], [0, 1]], [[1], [2, 2]]):
    sessions = builders.sessions(rows)
    lines = np.arange(len(sessions.events))
    found = judge.verdicts(sessions, lines, np.full(2, math.nan))
    assert [x['unknown_events'] for x in found] == [0, sum(e != 1 for e in rows[1])]
  assert [x for x in judge.warnings if 'never saw are in 2 of 4 sessions' in x]


@pytest.mark.parametrize('timed', [True, False])
@pytest.mark.parametrize('odd,said', [
  ([0, 1, 2, 197, 199], True), ([0, 30, 60, 90, 120, 150], False), ([], False),
  (range(200), False),
])  # fmt: skip
def test_sessions_that_the_ends_of_the_log_cut(timed, odd, said):
  """Those at the ends are anomalous more often than the others."""
  first = np.arange(200.0) * 10
  last = first + 45
  time = first * 7 if timed else np.full(200, math.nan)
  anomalous = np.isin(np.arange(200), list(odd))
  table = np.stack([first, last, time, time + 300, anomalous], axis=1)
  text = detect.cut_off(table)
  assert bool(text) == said and not detect.cut_off(table[::12])  # too few
  assert not detect.cut_off(table + [0, 2000, 0, 14000, 0])  # most are cut
  assert not said or text.startswith('5 of the 5 anomalous sessions stand at the ends')


@pytest.mark.parametrize('odd,said', [
  ([0], 'first (30 of usually 100 lines) may'), ([9], ''),
  ([29], 'last (1 of usually 100 lines) may'),
  ([0, 9, 29], 'first (30 of usually 100 lines) and the last (1 of'),
])  # fmt: skip
def test_windows_that_the_ends_of_the_log_cut(odd, said):
  first = np.append(0, 30 + np.arange(29.0) * 100)
  last = np.append(first[1:] - 1, first[-1])
  table = np.stack([first, last, first, last, np.isin(np.arange(30), odd)], axis=1)
  text = detect.cut_windows(table)
  assert said in text if said else not text
  assert not detect.cut_windows(table[-19:])  # too few to say what is usual
  assert detect.cut_windows(table[::-1]) == text
  mixed = table + np.outer(np.arange(30) % 2, [0, 50, 0, 50, 0])
  assert not detect.cut_windows(mixed)  # lines of another group are among them
  table[0, 0] -= 70
  table[-1, 1] += 99
  assert not detect.cut_windows(table)  # no window is short


@pytest.mark.parametrize('window', ['0', '10'])
def test_cut_sessions_are_said(root, tmp_path, monkeypatch, window):
  """Sessions are usually whole, and windows begin and end anywhere."""
  seen, name = [], 'cut_off' if window == '0' else 'cut_windows'
  monkeypatch.setattr(detect, name, lambda places: seen.append(places) or 'cut')
  trained(root, tmp_path)
  verdicts = detect.detect(model.load(tmp_path), root / 'b' / 'x.log')
  assert str(verdicts.manifest['window']) == '0'
  verdicts.manifest['window'] = window
  rows = list(verdicts)
  assert 'cut' in verdicts.summary.warnings
  names = ('first_line', 'last_line', 'anomalous')
  expected = [[row[name] for name in names] for row in rows]
  assert seen[0][:, [0, 1, 4]].tolist() == expected


@pytest.mark.parametrize('change', [
  {'validation': math.nan}, {'validation': 1.0}, {'validation': -0.1},
  {'seed': -1}, {'seed': 2**64}, {'split': 'randm'}, {'fit': 'none'},
])  # fmt: skip
def test_options_out_of_range(change):
  with pytest.raises(errors.UserError, match=f'--{next(iter(change))}'):
    problem.Options(target='x', **change)


def test_numbers_out_of_range(root):
  with pytest.raises(errors.UserError, match='--alert_rate'):
    dataclasses.replace(test_baseline_runs.make_job(root, 'pca'), alert_rate=math.nan)
  for change in ({'validate_every': 0}, {'checkpoint_every': -1}):
    with pytest.raises(errors.UserError, match=next(iter(change))):
      loop.Options(**change)


def test_seeds_at_the_edge(root, tmp_path):
  chosen = test_baseline_runs.make_job(root, 'pca')
  data = dataclasses.replace(chosen.data, seed=problem.MAX_SEED)
  assert run.start(dataclasses.replace(chosen, data=data), tmp_path, say=quiet)
