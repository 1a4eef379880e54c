"""Sessions of logs that are followed: odd ones are found when they end."""

import datetime
import random

import numpy as np
import pytest

from metalog_jax import errors
from metalog_jax.logs import live, records, tail
from metalog_jax.scanning import follow, followed_sessions, scan
from tests import kills
from tests.scanning import logs, test_follow

STEPS = ['opened', 'charged', 'shipped', 'closed']


def text(num=400, seed=13):
  """Orders whose steps lie among each other's; two end early, one turns around."""
  draw, lines = random.Random(seed), []
  for number in range(num):
    steps = STEPS[:2] if number in (60, 310) else STEPS
    steps = ['opened', 'shipped', 'charged', 'closed'] if number == 350 else steps
    time = logs.START + datetime.timedelta(seconds=4 * number)
    for step in steps:
      time += datetime.timedelta(seconds=draw.uniform(0.5, 4))
      lines.append((time, f'INFO shop: order {number + 5000} {step}'))
  return [f'{time:%Y-%m-%d %H:%M:%S} {said}\n' for time, said in sorted(lines)]


@pytest.fixture(autouse=True)
def fixture_impatient(monkeypatch):
  monkeypatch.setattr(tail, 'PATIENCE', 0.05)
  monkeypatch.setattr(live, 'POLL', 0.005)
  monkeypatch.setattr(follow, 'COMMIT', 100)
  monkeypatch.setattr(follow, 'QUIET', 3)
  monkeypatch.setattr('metalog_jax.scanning.followed_sessions.SAMPLE', 90)


OPTIONS = {'window': '30s', 'timeout': '20s'}


def about_sessions(items):
  return [(x.kind, x.count, x.windows) for x in items if x.windows[0].isdigit()]


def expected():
  return [('missing', 1, ['5060']), ('missing', 1, ['5310']), ('order', 1, ['5350'])]


def test_sessions_that_end_early_or_turn_around(tmp_path):
  """Are those that scan finds in the whole log."""
  path = tmp_path / 'app.log'
  path.touch()
  steps = test_follow.appending(path, text(), 7)
  items, _, follower = test_follow.run(path, steps, **OPTIONS)
  found = about_sessions(items)
  assert found == expected()
  assert follower.summary['group'] == 'order' and follower.sessions.number == 400
  pairs = lambda found: {(x.finding_id, y) for x in found for y in x.windows}
  batch = scan.scan([str(path)], scan.Options(window='30s'))
  assert {pair for pair in pairs(items) if pair[1].isdigit()} == pairs(batch)
  early = next(x for x in items if x.windows == ['5310'])
  line = path.read_text().splitlines()[early.last.line - 1]
  assert early.samples[0]['text'] == line and '5310 charged' in line


@pytest.mark.parametrize('seed', range(2))
def test_ends_anywhere_lose_and_double_nothing(tmp_path, monkeypatch, seed):
  lines, path, out = text(), tmp_path / 'app.log', tmp_path / 'out'
  draw, told = random.Random(seed), []
  deaths = kills.lives(path, lines, 200, 800, lambda: draw.randrange(2, 12))
  kills.kill_followers(monkeypatch, path, out, deaths, told.append, **OPTIONS)
  more, _, _ = test_follow.run(path, [], out, **OPTIONS)
  assert about_sessions(told + more) == expected()
  assert len(test_follow.rows(out)) == len(told + more)


@pytest.mark.parametrize('more', [0, 1])
def test_a_rotated_file_has_its_name(tmp_path, more):
  """What a new process reads of it, and places of sessions that go on in the next."""
  lines, path, out = text(), tmp_path / 'app.log', tmp_path / 'out'
  put = next(i for i, line in enumerate(lines) if 'order 5350 shipped' in line)
  lines.insert(put, lines[put][:20] + 'CRITICAL disk: No space left on device\n')
  path.write_text(''.join(lines[: put - 40]))
  test_follow.run(path, [], out, **OPTIONS)
  with open(path, 'a') as file:
    file.writelines(lines[put - 40 : put + more + 1])
  path.rename(tmp_path / 'app.log.1')
  path.write_text(''.join(lines[put + more + 1 :]))
  items, *_ = test_follow.run(path, [], out, **OPTIONS)
  samples = [sample for item in items for sample in item.samples]
  names = {item.kind: item.first.file for item in items}
  assert names == {'new': f'{path}.1', 'order': f'{path}.1' if more else str(path)}
  for sample in samples:
    with open(sample['file']) as file:
      assert file.read().splitlines()[sample['line'] - 1] == sample['text']


def test_few_sessions_wait_for_half_the_timeout(tmp_path, monkeypatch):
  """They are judged together, and found as where each window's are."""
  path, judged = tmp_path / 'app.log', []
  path.write_text(''.join(text()))
  judge = followed_sessions.session_findings.judge
  monkeypatch.setattr(
    followed_sessions.session_findings,
    'judge',
    lambda *arguments: judged.append(1) or judge(*arguments),
  )
  items, _, follower = test_follow.run(path, [], window='5s', timeout='60s')
  assert about_sessions(items) == expected()[1:]  # the first ended while it learned
  assert 20 < len(judged) < follower.memory.windows / 5


def test_others_are_the_last_sessions(tmp_path, monkeypatch):
  """In bounded memory."""
  path = tmp_path / 'app.log'
  path.write_text(''.join(text()))
  monkeypatch.setattr(followed_sessions, 'PAST', 50)
  *_, follower = test_follow.run(path, [], window='5s', timeout='60s')
  numbers = follower.sessions._past.kept['bags']['session']
  assert (numbers.min(), numbers.max(), numbers.n_unique()) == (0, 49, 50)


def test_open_sessions_at_the_end(tmp_path):
  """They wait where there is a state, and are judged where there is none."""
  path = tmp_path / 'app.log'
  path.write_text(''.join(text()[: 4 * 311]))
  items, _, follower = test_follow.run(path, [], **OPTIONS)
  assert not follower.metrics['open_sessions'] and about_sessions(items)[1:]
  items, _, follower = test_follow.run(path, [], tmp_path / 'out', **OPTIONS)
  assert follower.metrics['open_sessions'] and not about_sessions(items)[1:]


def test_sessions_that_ended_in_silence_end_after_a_kill_too(tmp_path, monkeypatch):
  """Whatever came since: what is told does not depend on when a process ends."""
  lines, path, out = text(), tmp_path / 'app.log', tmp_path / 'out'
  path.write_text(''.join(lines[:700]))

  def idle(follower):
    follower.memory.last_read -= 1000 * (follower.memory.lines == 700)

  def die(_):
    raise kills.Killed

  with monkeypatch.context() as patch, pytest.raises(kills.Killed):
    patch.setattr(follow.Follower, '_end_sessions', die)
    options = scan.Options(out=str(out), **OPTIONS)
    follow.follow([str(path)], options, bool, bool, idle)
  with open(path, 'a') as file:
    file.writelines(lines[700:])
  _, _, follower = test_follow.run(path, [], out, **OPTIONS)
  names = {line.split(' order ')[1].split()[0] for line in lines[:700]}
  both = names & {line.split(' order ')[1].split()[0] for line in lines[700:]}
  judged = follower.sessions.number + follower.metrics['open_sessions']
  assert both and judged == 400 + len(both)


def test_sessions_too_many_to_wait_are_counted(tmp_path, monkeypatch):
  """Also by the process that goes on after the one that dropped them."""
  monkeypatch.setattr(followed_sessions, 'LEARNED', 60)
  lines, path, out = text(), tmp_path / 'app.log', tmp_path / 'out'
  path.write_text(''.join(lines[:1200]))
  test_follow.run(path, [], out, **OPTIONS)
  with open(path, 'a') as file:
    file.writelines(lines[1200:])
  _, _, follower = test_follow.run(path, [], out, **OPTIONS)
  about = follower.summary
  assert about['sessions_not_judged'] >= 60
  judged = about['sessions'] + follower.metrics['open_sessions']
  assert judged + about['sessions_not_judged'] == 400


def test_beside_the_sessions_of_a_baseline(tmp_path):
  good, path = tmp_path / 'good.log', tmp_path / 'app.log'
  good.write_text(''.join(x for x in text(300, seed=1) if ' 5060 ' not in x))
  path.write_text(''.join(text()[1100:]))
  items, _, follower = test_follow.run(path, [], baseline=(str(good),), **OPTIONS)
  assert ['5310'] in [windows for _, _, windows in about_sessions(items)]
  with pytest.raises(errors.UserError, match='--timeout=soon'):
    test_follow.run(path, [], timeout='soon')


def test_events_of_forgotten_templates_are_none(tmp_path):
  """And not those of the template that has code 0 afterwards; also in a saved state."""
  path = tmp_path / 'app.log'
  path.write_text(''.join(text(30)))
  block = next(iter(records.read([str(path)])))
  state = followed_sessions.FollowedSessions('order', '10m')
  steps = [STEPS.index(said.rsplit(' ', 1)[1]) for said in block.message]
  state.add(np.array(steps), block, str(path), 0)
  first, *_ = state.open.peek()
  state.renew(np.array([2, 0, 1, 3]), np.array([0, -1, 1, 2]))  # shipped is template 1
  templates = followed_sessions.templates_of(first.events, np.array([3]))
  assert templates.tolist() == [1, 0, -1, 2]
  again = followed_sessions.FollowedSessions('order', '10m')
  again.restore({'sessions': state.to_json()}, 3, 'state.json')
  assert again.open.peek()[0].events == first.events
  with pytest.raises(errors.UserError, match='state.json is damaged.*an event'):
    again.restore({'sessions': state.to_json()}, 2, 'state.json')
