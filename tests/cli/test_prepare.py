"""The program: exit codes, messages, and what a full disk or a Ctrl-C leaves behind."""

import importlib.util
import os
import signal
import subprocess
import sys
import time

import pytest

from metalog_jax.cli import prepare as program
from metalog_jax.cli import progress
from metalog_jax.logs import formats, store

HEAD = '081109 203518 143 INFO dfs.X: '
LOG = ''.join(f'{HEAD}Received block blk_{i % 50}\n' for i in range(400))


def command(*flags, before: str = '') -> list[str]:
  """What runs the program in a process of its own, after some Python."""
  code = f"""
import resource, signal, sys
from metalog_jax.cli import main
if __name__ == '__main__':
  {before or 'pass'}
  sys.exit(main.main(['prepare', *sys.argv[1:]]))
"""
  return [sys.executable, '-c', code, *map(str, flags)]


def prepare(*flags, before: str = '', **kwargs):
  return subprocess.run(
    command(*flags, before=before), capture_output=True, text=True, **kwargs
  )


@pytest.fixture
def flags(tmp_path):
  (tmp_path / 'x.log').write_text(LOG)
  return (
    f'--system=hdfs --logs={tmp_path}/x.log --out={tmp_path}/out --workers=1'.split()
  )


def test_done_and_up_to_date(tmp_path, flags, metalog):
  done = metalog('prepare', *flags)
  assert done.code == 0 and not done.err
  assert 'hdfs: 400 lines, 0 bad; 1 templates' in done.out
  (tmp_path / f'.out.{0:020}-7.partial').mkdir()  # a killed process's
  again = metalog('prepare', *flags)
  assert again.code == 0 and not list(tmp_path.glob('.out*'))
  assert again.out.startswith(f'{tmp_path}/out is up to date\n')
  assert again.out.splitlines()[1:] == done.out.splitlines()
  stamp = (tmp_path / 'out' / store.MANIFEST).stat().st_mtime_ns
  assert 'up to date' not in metalog('prepare', *flags, '--force').out
  assert (tmp_path / 'out' / store.MANIFEST).stat().st_mtime_ns > stamp


def test_failed(flags, tmp_path, metalog):
  (tmp_path / 'x.log').write_text('')
  failed = metalog('prepare', *flags)
  assert failed.code == 1 and not failed.out
  assert failed.err == (
    f'metalog prepare: {tmp_path}/x.log: no line to read, the input is empty\n'
  )
  assert 'Traceback' in metalog('prepare', *flags, '--debug').err


@pytest.mark.parametrize(
  'wrong', [['--system=hdsf'], ['--windows=3'], ['--max_events=x'], ['x.log'],
            ['--fit']]
)  # fmt: skip
def test_wrong_flags(flags, wrong, metalog):
  failed = metalog('prepare', *flags, *wrong)
  assert failed.code == 2 and 'Traceback' not in failed.err


def test_required_flags(metalog):
  failed = metalog('prepare', '--system=hdfs')
  assert failed.code == 2 and '--out' in failed.err
  assert '--out' in metalog('prepare', '--system=hdfs', '--out=').err


def test_choices_are_those_of_the_room():
  """They are written out in the program, for --help imports no room."""
  choices = {flag.name: flag.choices for flag in program.FLAGS if flag.choices}
  assert choices == {
    'system': formats.SYSTEMS,
    'mining': ('canonical', 'arrival'),
    'parser': ('default', 'paper'),
  }


def test_standard_input(tmp_path, flags):
  piped = '--system=hdfs', '--logs=-', f'--out={tmp_path}/piped'
  for _ in range(2):  # what was piped is never known to be the same again
    done = prepare(*piped, input=LOG)
    assert done.returncode == 0 and 'up to date' not in done.stdout
  assert prepare(*flags).returncode == 0
  read = [(tmp_path / n / store.SESSIONS).read_bytes() for n in ('piped', 'out')]
  assert read[0] == read[1]


@pytest.mark.parametrize('most', [0, 500, 1500])
def test_full_disk(tmp_path, flags, most):
  """The kernel refuses to let files grow; the old folder stays whole."""
  prepare(*flags)
  before = {p.name: p.read_bytes() for p in (tmp_path / 'out').iterdir()}
  limit = f'resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))'
  failed = prepare(*flags, '--force', '--workers=1', before=limit)
  assert failed.returncode == 1, failed.stderr
  assert (
    failed.stderr.startswith('metalog prepare: ') and failed.stderr.count('\n') == 1
  )
  assert {p.name: p.read_bytes() for p in (tmp_path / 'out').iterdir()} == before
  assert sorted(p.name for p in tmp_path.iterdir()) == ['out', 'x.log']


def test_interrupted(tmp_path, flags):
  """Ctrl-C while lines still come in."""
  flags[1] = '--logs=-'
  pipes = dict(stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
  listen = 'signal.signal(signal.SIGINT, signal.default_int_handler)'
  with subprocess.Popen(command(*flags, before=listen), **pipes) as process:
    process.stdin.write(LOG)
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while (
      not list(tmp_path.glob('.out.*.partial/spill')) and time.monotonic() < deadline
    ):
      time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert process.stderr.read() == 'metalog prepare: interrupted\n'
  assert [p.name for p in tmp_path.iterdir()] == ['x.log']


def test_a_pipe_without_a_writer_is_named(tmp_path, flags):
  """The program waits for somebody to write it, and says so."""
  os.mkfifo(tmp_path / 'pipe')
  flags[1] = f'--logs={tmp_path}/pipe'
  pipes = dict(stderr=subprocess.PIPE, text=True)
  with subprocess.Popen(command(*flags), **pipes) as process:
    said = process.stderr.readline()
    assert f'{tmp_path}/pipe is a named pipe: waiting' in said
    (tmp_path / 'pipe').write_text(LOG)
    assert process.wait(60) == 0, process.stderr.read()


def test_progress_without_a_terminal(tmp_path, capsys):
  (tmp_path / 'x.log').write_bytes(b'x' * 4_000_000)
  with progress.Bytes([tmp_path / 'x.log'], every=0) as read:
    read(1_000_000)
    read(2_000_000)
  assert capsys.readouterr().err == 'read 1 of 4 MB\nread 3 of 4 MB\n'


@pytest.mark.skipif(
  importlib.util.find_spec('apache_beam') is not None, reason='Beam is here'
)
def test_a_runner_without_beam(metalog, tmp_path, flags):
  done = metalog('prepare', *flags, '--runner=DirectRunner')
  assert done.code == 1 and 'make beam' in done.err and 'Traceback' not in done.err
  assert metalog('prepare', *flags, '--runner_options=--x').code == 2
