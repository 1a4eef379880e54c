"""Verdicts, reports and simulations as one gets them from the command line."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from metalog_jax import simulation
from metalog_jax.cli import simulate
from metalog_jax.runs import follow
from tests.runs import test_run

fixture_root, fixture_workdir = test_run.fixture_root, test_run.fixture_workdir


def test_verdicts_are_one_json_line_a_session(root, workdir, tmp_path, metalog):
  flags = [f'--model={workdir}', f'--logs={root}/b/x.log']
  done = metalog('detect', *flags)
  verdicts = [json.loads(line) for line in done.out.splitlines()]
  assert done.code == 0 and len(verdicts) == 60
  assert {'session_id', 'score', 'anomalous', 'events'} <= set(verdicts[0])
  assert ' of 60 sessions anomalous' in done.err.splitlines()[-1]
  assert metalog('detect', *flags, f'--out={tmp_path}/x.jsonl').code == 0
  assert (tmp_path / 'x.jsonl').read_text() == done.out
  most = metalog('detect', *flags, '--threshold=-1').out
  assert all(json.loads(line)['anomalous'] for line in most.splitlines())


@pytest.mark.parametrize('sign, code', [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_following_ends_with_what_was_read_judged(
  root, workdir, tmp_path, metalog, monkeypatch, sign, code
):
  monkeypatch.setattr(
    follow.Watcher, 'rest', lambda self: self.lines and signal.raise_signal(sign)
  )
  out, state = tmp_path / 'x.jsonl', tmp_path / 'state'
  flags = [f'--model={workdir}', f'--logs={root}/b/x.log', '--follow', f'--out={out}']
  done = metalog('detect', *flags, f'--state={state}', '--metrics_port=0')
  assert done.code == code and 'metrics: http://127.0.0.1' in done.err
  verdicts = [json.loads(line) for line in out.read_text().splitlines()]
  assert len(verdicts) == 60 and any(v.get('open') for v in verdicts)
  again = metalog('detect', *flags)
  assert again.code == code and len(out.read_text().splitlines()) == 60
  refused = metalog('detect', *flags, f'--state={tmp_path}/other')
  assert refused.code == 1 and 'did not follow' in refused.err
  refused = metalog('detect', *flags[:2], '--timeout=5m')
  assert refused.code == 2 and '--timeout goes with --follow' in refused.err


@pytest.mark.parametrize('flag, code, says', [
  ('--out={log}/x', 1, 'no folder'),  # found before the logs are read
  ('--out={log}', 1, 'x.log'),
  ('--threshold=nan', 2, '--threshold'),
  ('--workers=0', 2, '--workers'),
  ('--model=nowhere', 1, 'nowhere'),
])  # fmt: skip
def test_wrong_flags(root, workdir, metalog, flag, code, says):
  log = root / 'b' / 'x.log'
  before = log.read_bytes()
  flags = [f'--model={workdir}', f'--logs={log}', flag.format(log=log)]
  done = metalog('detect', *flags)
  assert done.code == code and says in done.err and 'Traceback' not in done.err
  assert log.read_bytes() == before


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_it_quietly(root, workdir):
  command = f'{sys.executable} -m metalog_jax detect --model={workdir} --logs='
  command += f'{root}/b/x.log | head -n 1; exit ${{PIPESTATUS[0]}}'
  here = pathlib.Path(__file__).parents[2]
  done = subprocess.run(
    ['bash', '-c', command], cwd=here, capture_output=True, text=True
  )
  assert done.returncode == 0 and json.loads(done.stdout)
  assert 'Traceback' not in done.stderr and 'Broken pipe' not in done.stderr


def test_reports(workdir, tmp_path, metalog):
  done = metalog('report', workdir, f'--out={tmp_path}/a')
  assert done.code == 0 and done.out == f'{tmp_path}/a/report.html\n'
  assert metalog('report', workdir, '--print=console').out.startswith('metalog ')
  several = metalog('report', workdir, f'--runs={workdir}')
  assert several.code == 1 and '--out' in several.err
  (tmp_path / 'file').touch()
  wrong = metalog('report', workdir, f'--out={tmp_path}/file/x')
  assert wrong.code == 1 and 'no folder' in wrong.err
  assert metalog('report', workdir, '--kinds=al').code == 2


def test_overwriting_deletes_nothing_but_a_run(root, tmp_path, metalog):
  """In 0.1.0 any folder that --workdir named was gone, its own sources too."""
  (tmp_path / 'thesis.tex').touch()
  command = [f'--target={root}/system_b', '--overwrite', '--detector=pca']
  for workdir in (tmp_path, root, root / 'system_b'):
    before = sorted(os.listdir(workdir))
    done = metalog('train', *command, f'--workdir={workdir}')
    assert done.code == 1 and 'nothing was deleted' in done.err
    assert sorted(os.listdir(workdir)) == before


def test_export_writes_what_runs_alone(workdir, tmp_path, metalog):
  pytest.importorskip('flatbuffers')
  done = metalog('export', f'--model={workdir}', f'--out={tmp_path}/out')
  assert done.code == 0 and f'{tmp_path}/out/run.py' in done.out
  assert os.access(tmp_path / 'out' / 'program.stablehlo', os.R_OK)
  assert metalog('export', f'--model={workdir}', f'--out={workdir}').code == 1
  assert metalog('export', f'--model={workdir}').code == 2


def test_simulated_logs_say_that_they_are(tmp_path, metalog):
  done = metalog('simulate', '--sessions=20', f'--out={tmp_path}/logs')
  assert done.code == 0 and done.out.startswith('SIMULATED blockstore')
  assert (tmp_path / 'logs' / 'anomaly_label.csv').exists()
  assert metalog('simulate', '--anomalies=nan', '--out=x').code == 2
  assert metalog('simulate', '--seed=-1', '--out=x').code == 2
  assert simulate.SYSTEMS == tuple(simulation.SYSTEMS)
