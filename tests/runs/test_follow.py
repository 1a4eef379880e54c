"""Verdicts while lines come are those of `detect` on the same lines."""

import json
import os
import random
import signal

import pytest

from metalog_jax import errors
from metalog_jax.logs import live, tail
from metalog_jax.runs import detect, follow, model
from tests import kills
from tests.runs import test_detect, test_run

fixture_root = test_run.fixture_root


def text(num=40, seed=0):
  """Blocks whose lines lie among each other's; every seventh fails, some are new."""
  draw, lines = random.Random(seed), []
  first, second, bad = test_run.VERBS['b']
  for i in range(num):
    says = [first] * draw.randint(1, 4) + [second] * draw.randint(1, 3)
    says += [bad] * (i % 7 == 0) + ['utterly unheard of by'] * (i % 11 == 0)
    begin = 10 * i
    for j, what in enumerate(says):
      lines.append((begin + 7 * j, f'dfs.Node: {what} blk_{500 + i}'))
  stamp = lambda s: f'081109 {20 + s // 3600:02d}{s // 60 % 60:02d}{s % 60:02d}'
  return [f'{stamp(s)} 14 INFO {said}\n' for s, said in sorted(lines)]


@pytest.fixture(name='trained', scope='module', params=['evidence'])
def fixture_trained(request, root, tmp_path_factory):
  """A model with a threshold, and what it says of the text in batch."""
  folder = tmp_path_factory.mktemp(request.param)
  test_detect.trained(root, folder / 'run', request.param)
  path = folder / 'app.log'
  path.write_text(''.join(text()))
  loaded = model.load(folder / 'run')
  scores = sorted({round(v['score'], 4) for v in detect.detect(loaded, path)})
  _, cut = max((b - a, (a + b) / 2) for a, b in zip(scores, scores[1:]))
  loaded = loaded._replace(threshold=cut)
  verdicts = list(detect.detect(loaded, path))
  assert 0 < sum(v['anomalous'] for v in verdicts) < len(verdicts)
  return loaded, verdicts


@pytest.fixture(autouse=True)
def fixture_impatient(monkeypatch):
  monkeypatch.setattr(tail, 'PATIENCE', 0.02)
  monkeypatch.setattr(live, 'POLL', 0.005)
  monkeypatch.setattr(follow, 'COMMIT', 10)


def run(loaded, path, steps=(), **options):
  """Follows while each step is done after the one before was read; the verdicts."""
  verdicts, notes, steps = [], [], iter(steps)
  quiet = [0, -1]

  def beat(watcher):
    quiet[0] = quiet[0] + 1 if watcher.lines == quiet[1] else 0
    quiet[1] = watcher.lines
    if quiet[0] > 6:
      quiet[0] = 0
      if next(steps, 'end') == 'end':
        watcher.stopped = signal.SIGTERM

  options = follow.Options(**options)
  chosen = [str(path)], options, verdicts.append, notes.append, beat
  watcher = follow.Watcher(loaded, *chosen)
  watcher.run()
  return verdicts, notes, watcher


def key(verdicts):
  """What batch and stream agree in, by session; no session is there twice."""
  rows = {}
  for verdict in verdicts:
    row = {k: v for k, v in verdict.items() if k not in ('first', 'last', 'open')}
    row['times'] = verdict['first']['time'], verdict['last']['time']
    row['score'] = pytest.approx(row['score'], abs=1e-5)
    for part in (*row.get('evidence', ()), *row['events']):
      for name in ('value', 'weight'):
        if name in part:
          part[name] = pytest.approx(part[name], abs=1e-4)
    assert rows.setdefault(verdict['session_id'], row) is row
  return rows


@pytest.mark.parametrize('trained', ['evidence', 'logrobust'], indirect=True)
def test_rotation_and_truncation(trained, tmp_path):
  loaded, expected = trained
  lines, path = text(), tmp_path / 'app.log'

  def steps():
    for start in range(0, 60, 20):
      with open(path, 'a') as file:
        file.writelines(lines[start : start + 20])
      yield
    path.rename(tmp_path / 'app.log.1')
    path.write_text(''.join(lines[60:100]))
    yield
    with open(path, 'w') as file:  # copied and truncated
      file.writelines(lines[100:])
    yield

  path.touch()
  verdicts, notes, watcher = run(loaded, path, steps(), timeout='2m')
  ended = [v for v in verdicts if not v.get('open')]
  assert 20 < len(ended) < len(verdicts) == 40 and any('truncated' in n for n in notes)
  assert key(verdicts) == key(expected)
  assert verdicts[-1]['first']['line'] < verdicts[-1]['first_line']
  assert watcher.metrics['open_sessions'] == len(verdicts) - len(ended)


@pytest.mark.parametrize('seed', range(2))
def test_ends_anywhere_lose_and_double_nothing(trained, tmp_path, monkeypatch, seed):
  loaded, expected = trained
  lines, path, state = text(), tmp_path / 'app.log', tmp_path / 'state'
  draw, told = random.Random(seed), []
  options = follow.Options(timeout='2m', state=str(state))
  path.touch()
  for die in kills.lives(path, lines, 12, 60, lambda: draw.randrange(1, 7)):

    def tell(verdict):
      told.append(verdict)
      die()  # noqa: B023

    watcher = follow.Watcher(loaded, [str(path)], options, tell, bool, die)
    with pytest.raises(kills.Killed):
      watcher.run()
  verdicts, notes, _ = run(loaded, path, timeout='2m', state=str(state))
  assert not any('lost' in note for note in notes)
  written = (state / follow.VERDICTS).read_text().splitlines()
  rows = [json.loads(line) for line in written]
  assert key(rows) == key(told + verdicts) == key(expected)


def test_open_sessions_go_on(trained, tmp_path):
  """Those that are judged at the end of a run are judged again when they end."""
  loaded, expected = trained
  lines, path = text(), tmp_path / 'app.log'
  options = dict(timeout='2m', state=str(tmp_path / 'state'))
  path.write_text(''.join(lines[:100]))
  first, _, _ = run(loaded, path, **options)
  with open(path, 'a') as file:
    file.writelines(lines[100:])
  second, _, _ = run(loaded, path, **options)
  assert any(v.get('open') for v in first)
  last = {v['session_id']: v for v in (*first, *second)}
  assert key(last.values()) == key(expected)
  with pytest.raises(errors.UserError, match='another timeout'):
    run(loaded, path, state=str(tmp_path / 'state'))


def test_places_name_the_rotated_file(trained, tmp_path):
  """Which is read by a new process that writes no verdict of the one before again."""
  loaded, expected = trained
  lines, path = text(), tmp_path / 'app.log'
  options = dict(timeout='2m', state=str(tmp_path / 'state'))
  path.write_text(''.join(lines[:60]))
  told, _, _ = run(loaded, path, **options)
  with open(path, 'a') as file:
    file.writelines(lines[60:100])
  path.rename(f'{path}.1')
  path.write_text(''.join(lines[100:]))
  more, _, _ = run(loaded, path, **options)
  assert key([v for v in told if not v.get('open')] + more) == key(expected)
  files = {str(x): x.read_text().splitlines() for x in (path, tmp_path / 'app.log.1')}
  assert {v['last']['file'] for v in more} == {*files}
  for verdict in more:  # of the lines that the process before read as well
    for place in (verdict['first'], verdict['last']):
      assert verdict['session_id'] in files[place['file']][place['line'] - 1]


def test_standard_input_to_its_end(trained):
  loaded, expected = trained
  reader, writer = os.pipe()
  with os.fdopen(writer, 'wb') as file:
    file.write(''.join(text()).encode())
  with os.fdopen(reader) as file:
    saved = os.dup(0)
    os.dup2(file.fileno(), 0)
    try:
      verdicts, _, _ = run(loaded, '-')
    finally:
      os.dup2(saved, 0)
      os.close(saved)
  assert not any('open' in v for v in verdicts) and key(verdicts) == key(expected)
