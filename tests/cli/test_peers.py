"""A process that loses another of its run ends with one sentence."""

import os
import signal
import subprocess
import sys

import pytest

SUPERVISED = """
import os, signal, sys
from metalog_jax.cli import peers
def work():
  {work}
code = peers.supervise('metalog train', work, 7, lambda: {finished})
if code is None:
  {end}
  sys.exit(0)
sys.exit(code)
"""
GUARDED = """try:
    raise ValueError({message!r})
  except ValueError as error:
    raise RuntimeError('no step') from error"""


def script(work: str, end: str = 'pass', finished: bool = False) -> str:
  return SUPERVISED.format(work=work, end=end, finished=finished)


def python(*parts: str, **options) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, '-c', script(*parts, **options)],
    capture_output=True,
    text=True,
    timeout=60,
    env=os.environ | {'PYTHONUNBUFFERED': ''},
  )


@pytest.mark.parametrize('work, code, says', [
  ('print("metalog train: done", file=sys.stderr)', 0, 'metalog train: done\n'),
  ('sys.exit(3)', 3, ''),
  ('os.kill(os.getpid(), signal.SIGKILL)', 1, 'was killed, for want of memory maybe'),
  ('os.write(2, b"\\rbar 50 %")', 0, 'bar 50 %'),
  ('os.kill(os.getpid(), signal.SIGTERM)', 1, 'process was ended by SIGTERM: start'),
  ('os.write(2, b"bar\\rbar 2\\r"); os.abort()', 1, 'another process of the run ended'),
  ('os.write(2, b"[Gloo] Rank 0\\nF1129 09:00 7 x.cc:5] no RPC\\n @ 0x7f\\n'
   'F1129 09:01 7 y.cc:6] later\\n"); os.abort()', 1,
   'or was not heard of (no RPC): start'),
  ('os.write(2, b"F1129 09:00 7 x.cc:5] " + b"y" * 999 + b"\\n"); os.abort()', 1,
   f'({"y" * 240}): start'),
])  # fmt: skip
def test_what_the_parent_says(work, code, says):
  done = python(work)
  assert done.returncode == code and says in done.stderr
  assert 'Gloo' not in done.stderr and '0x7f' not in done.stderr
  if code == 1:
    assert 'start the same command everywhere' in done.stderr


@pytest.mark.parametrize('message, lost', [
  ('Gloo all-reduce failed: Connection closed by peer', True),
  ('UNAVAILABLE: failed to connect', True), ('a batch of 0 sessions', False),
])  # fmt: skip
def test_errors_because_of_others(message, lost):
  done = python(GUARDED.format(message=message))
  assert done.returncode == 1
  assert ('was not heard of for 7 s (--peer_timeout)' in done.stderr) == lost
  assert ('Traceback' in done.stderr) != lost


@pytest.mark.parametrize('done, finished, code', [
  (True, True, 0), (True, False, 1), (False, True, 1),
])  # fmt: skip
def test_who_leaves_after_the_result_is_written(done, finished, code):
  """All wait for each other at their end; where one does not, nothing is lost."""
  work, end = 'print("result")', 'os.abort()'
  ended = python(*((work, end) if done else (end, 'pass')), finished=finished)
  assert ('result' in ended.stdout) == done
  assert ended.returncode == code
  assert ('another process of the run ended' in ended.stderr) == bool(code)


def test_the_child_does_not_outlive_its_parent():
  work = 'print(os.getpid(), flush=True); signal.pause()'
  parent = subprocess.Popen(
    [sys.executable, '-c', script(work)], stdout=subprocess.PIPE
  )
  child = int(parent.stdout.readline())
  assert child != parent.pid
  parent.kill()
  try:
    assert parent.communicate(timeout=20)[0] == b''  # its last writer is gone
  except subprocess.TimeoutExpired:
    os.kill(child, signal.SIGKILL)
    raise


def test_signals_to_the_parent_are_the_childs():
  """SIGINT, which a terminal sends to both, is left to the child."""
  work = 'signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); import time; '
  work += 'time.sleep(0.2); print(flush=True); signal.pause()'
  parent = subprocess.Popen(
    [sys.executable, '-c', script(work)], stdout=subprocess.PIPE
  )
  parent.stdout.readline()
  parent.send_signal(signal.SIGINT)
  parent.send_signal(signal.SIGTERM)
  assert parent.wait(20) == 5
