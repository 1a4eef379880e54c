"""SIGKILLs while files are written, rotated, and copied and truncated.

`METALOG_KILLS=100` says how many.
"""

import json
import os
import random
import shutil
import threading
import time

import pytest

from metalog_jax.logs import live, tail
from metalog_jax.scanning import follow
from tests.scanning import test_follow, test_followed_sessions

KILLS = int(os.environ.get('METALOG_KILLS', '2'))
PIECE = 40  # lines that are written at once


def text():
  """Windows of which some are odd, and sessions of which three are."""
  orders = test_followed_sessions.text()
  form = ',000 INFO     [main] app.orders: '  # files choose their format by themselves
  orders = [line.replace(' INFO shop: ', form) for line in orders]
  return sorted(test_follow.text() + orders)


@pytest.fixture(name='expected')
def fixture_expected(tmp_path):
  """What is found in the whole text by a process that nobody kills."""
  path = tmp_path / 'whole.log'
  path.write_text(''.join(text()))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(tail, 'PATIENCE', 0.05)
    patch.setattr(live, 'POLL', 0.01)
    patch.setattr(follow, 'COMMIT', 400)
    items, _, follower = test_follow.run(path, [], tmp_path / 'whole', timeout='20s')
  found = test_follow.key(items)
  assert len(found) >= 4 and follower.sessions.number >= 390, found
  return found


def write(path, stop):
  """Writes all lines, slower where there are more kills; turns files over 9 times."""
  lines = text()
  turns = {len(lines) * i // 10 // PIECE for i in range(1, 10)}
  for number in range(-(-len(lines) // PIECE)):
    if number in turns:
      other = f'{path}.{number:03}'
      if number % 2:
        path.rename(other)
      else:
        shutil.copy(path, other)
        os.truncate(path, 0)
    with open(path, 'a') as file:
      file.writelines(lines[number * PIECE : (number + 1) * PIECE])
    if stop.wait(KILLS * 1.2 * PIECE / len(lines)):
      return


def test_kills_lose_and_double_no_finding(tmp_path, expected):
  path, out, draw, stop = tmp_path / 'app.log', tmp_path / 'out', random.Random(1), None
  path.touch()
  stop = threading.Event()
  writer = threading.Thread(target=write, args=(path, stop), daemon=True)
  said = ''
  for kill in range(KILLS):
    process = test_follow.start(path, out, '--timeout=20s')
    assert process.stderr.readline() == 'begun\n'
    if kill == 0:
      while not (out / 'state.json').exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
      writer.start()
    time.sleep(draw.uniform(0.2, 1.5))
    process.kill()
    said += process.communicate()[1]
  writer.join(120)
  metrics = tmp_path / 'metrics'
  process = test_follow.start(path, out, '--timeout=20s', f'--metrics={metrics}')
  end, whole = time.monotonic() + 60, f'metalog_lines_total {len(text())}\n'
  while time.monotonic() < end and not (
    metrics.exists() and whole in metrics.read_text()
  ):
    time.sleep(0.2)
  process.terminate()
  said += process.communicate()[1]
  stop.set()
  assert process.returncode == 0 and 'is lost' not in said
  about = json.loads((out / 'scan.json').read_text())
  assert about['lines'] == len(text()), said
  assert test_follow.rows(out) == expected
