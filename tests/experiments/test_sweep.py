"""Sweeps: every trial once, whatever is killed."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from experiments.sweeps import report, sweep_folder, table_files, trials
from metalog_jax import errors
from tests.runs import test_run

ROOT = pathlib.Path(__file__).parents[2]
KILLS = int(os.environ.get('METALOG_KILLS', '2'))  # the full proof: 10
fixture_root = test_run.fixture_root

TABLE = """
title = 'A table'
seeds = [0, 1]
against = 'good'
[rows.good]
name = 'good row'
flags = ['--alert_rate=0.9']
quoted = { precision = 81.5, recall = 80, f1 = 80.74 }
[rows.poor]
name = 'poor row'
flags = ['--alert_rate=0.4']
"""
FAILING = TABLE + "[rows.bad]\nname = 'bad row'\nflags = ['--alert_rate=0']\n"
SWEEP = """
import runpy, sys
from experiments.sweeps import trials
command = trials.command
trials.command = lambda *args: [
  sys.executable, 'tests/experiments/fake_train.py', *command(*args)[3:]]
sys.argv[0] = 'sweep'
runpy.run_module('experiments.sweep', run_name='__main__', alter_sys=True)
"""


def start(folder: pathlib.Path, *more: str, table: str = TABLE) -> subprocess.Popen:
  """A sweep whose trials are quick ones, in a process group of its own."""
  folder.mkdir(exist_ok=True)
  (folder / 't.toml').write_text(table)
  args = [f'--table={folder}/t.toml', f'--out={folder}', *more]
  return subprocess.Popen(
    [sys.executable, '-c', SWEEP, *args],
    cwd=ROOT, text=True, start_new_session=True,
    stdout=subprocess.PIPE, stderr=subprocess.PIPE,
  )  # fmt: skip


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
  out, errors = process.communicate(timeout=60)
  return process.returncode, out, errors


def ledger(folder: pathlib.Path) -> dict[str, list[str]]:
  """Trial -> how each of its processes began."""
  return {
    path.parent.name: path.read_text().split()
    for path in (folder / 't/trials').glob('*/ledger.txt')
  }


EVERY = {'good-seed0', 'poor-seed0', 'good-seed1', 'poor-seed1'}


@pytest.fixture(name='whole', scope='module')
def fixture_whole(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp('whole')
  code, out, errors = ended(start(folder))
  assert (code, errors) == (0, '')
  assert '4 of 4 trials finished' in out and '3 left' in out
  return folder


def test_every_trial_runs_once_and_a_second_sweep_has_nothing_to_do(whole):
  assert ledger(whole) == dict.fromkeys(EVERY, ['start'])
  code, out, _ = ended(start(whole))
  assert code == 0 and 'begins' not in out
  assert ledger(whole) == dict.fromkeys(EVERY, ['start'])
  begun = [json.loads(line)['trial'] for line in
           (whole / 't/attempts.jsonl').read_text().splitlines()]  # fmt: skip
  assert begun == ['good-seed0', 'poor-seed0', 'good-seed1', 'poor-seed1']


def test_kills_lose_no_trial_and_run_none_twice(whole, tmp_path, monkeypatch):
  """Half of them kill the sweep alone: the trial that it began lives on."""
  monkeypatch.setenv('FAKE_SECONDS', str(0.04 * KILLS))
  chance = random.Random(0)
  for kill in range(KILLS):
    process = start(tmp_path)
    time.sleep(chance.uniform(0.1, 0.9))
    assert process.poll() is None, 'ended before it could be killed'
    os.killpg(process.pid, signal.SIGKILL) if kill % 2 else process.kill()
    process.communicate()
  assert ended(start(tmp_path))[0] == 0
  begun = ledger(tmp_path)
  assert set(begun) == EVERY and 'twice' not in sum(begun.values(), [])
  for name in ('report.md', 'results.csv', 'sweep.json'):
    assert (tmp_path / 't' / name).read_text() == (whole / 't' / name).read_text()


def test_a_trial_dies_with_its_sweep(tmp_path, monkeypatch):
  monkeypatch.setenv('FAKE_SECONDS', '1')  # longer than a sweep takes to start
  process = start(tmp_path, '--rows=good', '--seeds=0')
  while not ledger(tmp_path):
    assert process.poll() is None
    time.sleep(1e-3)
  process.kill()
  process.communicate()
  with trials.claim(tmp_path / 't/locks/good-seed0', wait=True):
    pass  # the trial held it too
  assert not (tmp_path / 't/trials/good-seed0/result.json').exists()
  monkeypatch.delenv('FAKE_SECONDS')
  code, out, _ = ended(start(tmp_path, '--rows=good', '--seeds=0'))
  assert code == 0 and ledger(tmp_path) == {'good-seed0': ['start', 'start']}


def test_a_trial_that_another_process_is_at_is_waited_for(tmp_path):
  ended(start(tmp_path, '--rows=good', '--seeds=0'))
  (tmp_path / 't/trials/good-seed0/result.json').unlink()
  with trials.claim(tmp_path / 't/locks/good-seed0'):
    process = start(tmp_path, '--rows=good', '--seeds=0')
    while 'waiting' not in process.stdout.readline():
      assert process.poll() is None
  assert ended(process)[0] == 0


def test_two_sweeps_share_the_work(tmp_path):
  both = [start(tmp_path), start(tmp_path)]
  assert [ended(process)[::2] for process in both] == [(0, '')] * 2
  assert ledger(tmp_path) == dict.fromkeys(EVERY, ['start'])


def test_sigterm_stops_the_trial_too_and_leaves_it_to_go_on(tmp_path, monkeypatch):
  monkeypatch.setenv('FAKE_SECONDS', '1')
  process = start(tmp_path)
  while not ledger(tmp_path):
    time.sleep(1e-3)
  process.terminate()
  code, _, errors = ended(process)
  assert code == 130 and 'interrupted' in errors
  assert not list((tmp_path / 't/trials').glob('*/result.json'))
  monkeypatch.delenv('FAKE_SECONDS')
  assert ended(start(tmp_path))[0] == 0
  assert ledger(tmp_path)['good-seed0'] == ['start', 'start']


def test_a_failing_trial_is_passed_and_named(tmp_path):
  code, out, errors = ended(start(tmp_path, '--seeds=0', table=FAILING))
  assert code == 1 and 'Traceback' not in errors
  assert 'bad-seed0: train: this row always fails' in errors
  assert 'FAILED, exit code 1' in out and '2 of 3' in out
  assert set(ledger(tmp_path)) == {'good-seed0', 'poor-seed0'}


def test_a_file_that_is_no_sweep_is_told(whole, tmp_path):
  table = table_files.load(str(whole / 't.toml'))
  for text in ('[]', '{"rows": 3}', '{'):
    (tmp_path / 'sweep.json').write_text(text)
    with pytest.raises(errors.UserError, match='not what sweep writes'):
      trials.start(tmp_path, table)


def test_another_table_does_not_go_into_the_same_folder(whole, tmp_path):
  table = table_files.load(str(whole / 't.toml'), last_flags=['--alert_rate=0.1'])
  with pytest.raises(ValueError, match='holds row good with other flags'):
    trials.start(whole / 't', table)


def test_seeds_of_a_row_are_one_program(tmp_path):
  """Those that are left, of which a failed one takes the others along."""
  ended(start(tmp_path, '--rows=good', '--seeds=1'))
  more = ('--side_by_side', '--seeds=0..2')
  code, out, errors = ended(start(tmp_path, *more, table=FAILING))
  assert code == 1 and 'good-seed0, good-seed2: begins' in out
  assert 'bad-seed2: train: this row always fails' in errors
  names = {f'{row}-seed{seed}' for row in ('good', 'poor') for seed in range(3)}
  assert ledger(tmp_path) == dict.fromkeys(names, ['start'])
  attempts = {x.trial: x.code for x in trials.attempts(tmp_path / 't')}
  assert attempts == dict.fromkeys(names, 0) | {f'bad-seed{i}': 1 for i in range(3)}


@pytest.mark.parametrize('flag, code, says', [
  ('--seeds=a', 1, '--seeds=a'),
  ('--rows=god', 1, "not one of good, poor; did you mean 'good'?"),
  ('--table=tabel1', 1, "did you mean 'table1'?"),
  ('--table=none.toml', 1, 'no such file'),
  ('--out=/dev/null/x', 1, 'change --out'),
  ('--dry_run=maybe', 2, 'dry_run'),
])  # fmt: skip
def test_wrong_flags_end_with_one_line(tmp_path, flag, code, says):
  got, _, errors = ended(start(tmp_path, flag))
  assert got == code and says in errors and 'Traceback' not in errors


def test_a_flag_that_train_has_not_is_told_before_anything_runs(tmp_path):
  code, _, errors = ended(start(tmp_path, '--', '--alert_rat=0.1'))
  assert code == 1 and 'row good: Unknown command line flag' in errors
  assert not (tmp_path / 't').exists()


def test_a_dry_run_lists_and_makes_nothing(whole, tmp_path):
  code, out, _ = ended(start(tmp_path, '--dry_run', '--', '--vectors=v.txt'))
  assert code == 0 and not (tmp_path / 't').exists()
  assert out.count('left     ') == 4 and '4 left' in out
  assert '--alert_rate=0.4 --vectors=v.txt --seed=1' in out


REAL = """
title = 'Real trials'
seeds = [0, 1]
against = 'metalog'
flags = ['--source={systems}/system_a', '--target={systems}/system_b', '--split=random',
  '--target_normals=20', '--target_anomalies=3', '--validate_every=5',
  '--checkpoint_every=5']
[rows.metalog]
name = 'MetaLog'
flags = ['--metalog.hidden=4', '--metalog.layers=1', '--metalog.batch=8',
  '--metalog.parts=2', '--metalog.inner_steps=1', '--metalog.steps=200']
[rows.pca]
name = 'PCA'
flags = ['--detector=pca']
"""


@pytest.mark.slow
def test_kills_leave_the_tables_of_real_trials_as_they_were(root, tmp_path):
  (tmp_path / 'real.toml').write_text(REAL.replace('=200', f'={200 * KILLS}'))
  own = {'JAX_PLATFORMS': 'cpu', 'XDG_CACHE_HOME': str(tmp_path / 'cache')}
  env = {**os.environ, **own}

  def begin(name: str) -> subprocess.Popen:
    command = [sys.executable, '-m', 'experiments.sweep', f'--systems={root}',
               f'--table={tmp_path}/real.toml', f'--out={tmp_path / name}', '--',
               f'--vectors={root}/vectors.txt', '--devices=1']  # fmt: skip
    return subprocess.Popen(command, cwd=ROOT, env=env, start_new_session=True)

  clock = time.monotonic()
  assert begin('whole').wait() == 0
  took, chance = time.monotonic() - clock, random.Random(1)
  for kill in range(KILLS):
    process = begin('cut')
    time.sleep(chance.uniform(0.2, took / max(4, KILLS)))
    assert process.poll() is None, 'ended before it could be killed'
    os.killpg(process.pid, signal.SIGKILL) if kill % 2 else process.kill()
    process.wait()
  assert begin('cut').wait() == 0
  quality = []
  for name in ('whole', 'cut'):
    text = report.text([tmp_path / name / 'real'], 'markdown')
    quality.append(text.split('set-up s')[0])  # times differ
    found = sweep_folder.read(tmp_path / name / 'real')
    assert [len(row.runs) for row in found.rows] == [2, 2]
  assert quality[0] == quality[1] and '| PCA |' in quality[0]
