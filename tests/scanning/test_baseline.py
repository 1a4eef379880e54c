"""Baselines in folders, feedback, and the programs around them."""

import contextlib
import datetime
import json
import pathlib
import random
import resource
import subprocess
import sys

import pytest

from metalog_jax import atomic, errors
from metalog_jax.scanning import baseline, feedback, scan
from tests.cli.conftest import fixture_metalog  # noqa: F401
from tests.scanning import logs


@pytest.fixture(name='base')
def fixture_base(tmp_path):
  """A saved baseline and its log."""
  good = logs.Log(1).write(tmp_path / 'good.log')
  folder = str(tmp_path / 'base')
  scan.scan([str(good)], scan.Options(save_baseline=folder))
  return folder, good


def bad_log(tmp_path):
  log = logs.Log(2, 800)
  log.outage(500, 530)
  return str(log.write(tmp_path / 'bad.log'))


def test_a_saved_baseline_gives_what_its_logs_give(tmp_path, base):
  folder, good = base
  path = bad_log(tmp_path)
  saved = scan.scan([path], scan.Options(baseline=(folder,)))
  direct = scan.scan([path], scan.Options(baseline=(str(good),)))
  key = lambda found: [(x.finding_id, x.kind, x.count, x.first.line) for x in found]
  assert key(saved) == key(direct) and saved[0].kind == 'new'
  assert saved.summary['baseline']['state'] == 'settled'
  assert not any('learning' in text for text in saved.warnings)


def test_names_of_a_saved_baseline_are_no_news(tmp_path):
  ends = ('a', 'ed', 'es', 'i', 'is', 'ko', 'ova', 'sen', 'ton', 'well', 'y')
  names = [f'{name}{end}' for name in logs.NAMES for end in ends]
  draw = random.Random(3).choice
  lines = [
    f'{logs.START + datetime.timedelta(seconds=i)} INFO '
    + draw(('cache hit for user:{}', 'peer {} went home', 'tick')).format(draw(names))
    for i in range(3000)
  ]
  paths = tmp_path / 'good.log', tmp_path / 'today.log'
  for path, part in zip(paths, (lines[:1500], lines[1500:])):
    path.write_text('\n'.join(part) + '\n')
  folder = str(tmp_path / 'base')
  scan.scan([str(paths[0])], scan.Options(save_baseline=folder))
  today = scan.scan([str(paths[1])], scan.Options(baseline=(folder,)))
  assert not [*today] and today.summary['templates'] == 3
  scan.add_to_baseline(folder, [str(paths[1])], scan.Options())
  assert not [*scan.scan([str(paths[1])], scan.Options(baseline=(folder,)))]


@pytest.mark.parametrize(
  'form',
  [
    '{{"ts": "{}", "level": "info", "msg": "{}", "status": {}, "ms": {}}}',
    'ts={} level=info msg="{}" status={} ms={}',
  ],
)
def test_a_status_beside_the_message_is_a_value(tmp_path, form):
  draw = random.Random(4)
  names = [f'{name}{end}' for name in logs.NAMES for end in ('a', 'i', 'ko', 'y', 'u')]
  names += [name * 2 for name in names]

  def write(name, faults):
    lines = []
    for i in range(3000):
      time = logs.START + datetime.timedelta(seconds=i)
      said = draw.choice((f'shop of {draw.choice(names)} visited', 'request'))
      status = 503 if i in faults else draw.choice((200, 200, 404))
      lines.append(form.format(time.isoformat(), said, status, draw.randint(1, 999)))
    (tmp_path / name).write_text('\n'.join(lines) + '\n')
    return str(tmp_path / name)

  good, today = write('good.log', ()), write('today.log', range(2000, 2060))
  folder = str(tmp_path / 'base')
  assert not [*scan.scan([good], scan.Options(save_baseline=folder))]
  for options in (scan.Options(), scan.Options(baseline=(folder,))):
    findings = [*scan.scan([today], options)]
    assert findings[0].kind == 'value' and len(findings) < 3
    assert findings[0].template.endswith('[status=503]')
    assert 2000 < findings[0].first.line < 2020


def test_a_baseline_learns(tmp_path, base):
  folder, _ = base
  path = bad_log(tmp_path)
  before = baseline.show(folder)['records']
  about = scan.add_to_baseline(folder, [path], scan.Options())
  assert about['records'] == before + 800 and len(about['files']) == 2
  known = scan.scan([path], scan.Options(baseline=(folder,)))
  assert not [item for item in known if item.kind == 'new']


def test_a_log_counts_once(tmp_path, base):
  """Who was killed may have added it, and asks again."""
  folder, good = base
  path = bad_log(tmp_path)
  once = scan.add_to_baseline(folder, [str(good), path], scan.Options())
  assert once['added_before'] == [str(good)] and len(once['files']) == 2
  before = (tmp_path / 'base' / 'baseline.json').read_bytes()
  (tmp_path / f'.base.{0:020}-7.partial').mkdir()  # a killed process's
  twice = scan.add_to_baseline(folder, [path], scan.Options())
  assert twice['added_before'] == [path] and twice['records'] == once['records']
  assert (tmp_path / 'base' / 'baseline.json').read_bytes() == before
  assert not list(tmp_path.glob('.base*'))


def test_a_log_counts_once_by_whatever_name(tmp_path, base):
  """Its copies as well, and where names are masked, which the folder does not hold."""
  folder, good = base
  log, copy = tmp_path / 'jo@example.com.log', tmp_path / 'copy.log'
  log.write_text(open(bad_log(tmp_path)).read())
  copy.write_bytes(log.read_bytes())
  new, options = str(tmp_path / 'new'), scan.Options(redact=True)
  once = scan.add_to_baseline(new, [str(log), str(copy)], options)
  assert once['added_before'] == [str(copy)] and once['records'] == 800
  scan.scan([str(log)], scan.Options(redact=True, save_baseline=str(tmp_path / 'two')))
  for name in (new, str(tmp_path / 'two')):
    again = scan.add_to_baseline(name, [str(copy), str(log)], options)
    assert again['added_before'] == [str(copy), str(log)]
    assert 'jo@' not in (pathlib.Path(name) / 'baseline.json').read_text()
  copies = [str(good), str(good.rename(tmp_path / 'other.log'))]
  good.write_bytes((tmp_path / 'other.log').read_bytes())
  assert scan.add_to_baseline(folder, copies, options)['added_before'] == copies


@pytest.mark.parametrize('most', [4, 1000, 2500])
def test_a_quota_is_named_and_the_old_one_stays(tmp_path, base, most):
  folder, _ = base
  path, before = bad_log(tmp_path), baseline.show(folder)
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
  try:
    with pytest.raises(errors.UserError, match=f'cannot write {folder}'):
      scan.add_to_baseline(folder, [path], scan.Options())
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert baseline.show(folder) == before


def test_a_first_log_makes_one_that_is_still_learning(tmp_path):
  folder = str(tmp_path / 'base')
  log = logs.Log(3, 60).write(tmp_path / 'short.log')
  about = scan.add_to_baseline(folder, [str(log)], scan.Options())
  assert about['state'] == 'learning'
  found = scan.scan([bad_log(tmp_path)], scan.Options(baseline=(folder,)))
  assert any('still learning' in text for text in found.warnings)


@pytest.mark.parametrize('name', ['cells.parquet', 'templates.json', 'baseline.json'])
def test_a_changed_baseline_is_refused(base, name):
  folder, _ = base
  with open(f'{folder}/{name}', 'r+b') as file:
    file.seek(20)
    file.write(b'\0')
  with pytest.raises(errors.UserError, match='save'):
    baseline.load(folder)


def test_what_a_folder_holds_is_not_overwritten(tmp_path):
  (tmp_path / 'mine').mkdir()
  (tmp_path / 'mine' / 'thesis.tex').touch()
  log = logs.Log(4, 50).write(tmp_path / 'x.log')
  with pytest.raises(errors.UserError, match='something else'):
    scan.add_to_baseline(str(tmp_path / 'mine'), [str(log)], scan.Options())


def test_feedback_is_respected_by_later_scans(tmp_path, metalog):
  log = logs.Log(5, 1000)
  log.outage(500, 530)
  log.put(800, 'CRITICAL', 'disk', 'No space left on device /var/{n}')
  path, out = log.write(tmp_path / 'x.log'), tmp_path / 'out'
  assert metalog('scan', path, f'--out={out}', '--fail-on-findings').code == 3
  read = lambda: [json.loads(x) for x in (out / 'findings.jsonl').open()]
  outage, disk = read()
  say = lambda name, *more: metalog('feedback', out, name, *more).code
  assert say(outage['finding_id'], 'normal', '--reason=a test') == 0
  past, future = (
    datetime.date.today() + datetime.timedelta(days=days) for days in (-9, 9)
  )
  assert say(disk['finding_id'][:6], 'suppress', f'--until={past}') == 0
  metalog('scan', path, f'--out={out}')
  assert [x['state'] for x in read()] == ['known', 'active']
  assert say(disk['finding_id'], 'suppress', f'--until={future}') == 0
  done = metalog('scan', path, f'--out={out}', '--fail_on_findings')
  assert done.code == 0 and '1 known, 1 suppressed' in done.out
  assert [x['state'] for x in read()] == ['known', 'suppressed']
  assert say(disk['finding_id'], 'anomaly') == 0
  assert metalog('scan', path, f'--out={out}', '--fail-on-findings').code == 3


SAYS = """
import sys
from metalog_jax.scanning import feedback
for i in range(20):
  feedback.add(sys.argv[1], sys.argv[2] + str(i), 'normal')
"""


def test_processes_that_give_feedback_at_once_lose_none(tmp_path):
  (tmp_path / feedback.FILE).write_text('{"finding_id": "a", "verdict": "normal"}')
  command = [sys.executable, '-c', SAYS, str(tmp_path)]
  every = [subprocess.Popen([*command, name]) for name in 'bcde']
  assert [process.wait() for process in every] == [0] * 4
  said = feedback.read([str(tmp_path)])
  assert sorted(said) == sorted(['a', *(f'{x}{i}' for x in 'bcde' for i in range(20))])
  assert [path.name for path in tmp_path.iterdir()] == [feedback.FILE]


def test_two_additions_at_once_lose_none(tmp_path, base, monkeypatch):
  folder, good = base
  one, two = (logs.Log(i).write(tmp_path / f'{i}.log') for i in (7, 8))
  save, first = baseline.save, [True]

  def save_late(*arguments, **options):
    if first and first.pop():
      scan.add_to_baseline(folder, [str(two)], scan.Options())
      feedback.add(folder, 'a', 'normal')
    return save(*arguments, **options)

  monkeypatch.setattr(baseline, 'save', save_late)
  with pytest.raises(errors.UserError, match='add these again'):
    scan.add_to_baseline(folder, [str(one)], scan.Options())
  assert scan.add_to_baseline(folder, [str(one)], scan.Options())['records'] == 6000
  assert [*feedback.read([folder])] == ['a']
  scan.scan([str(one)], scan.Options(save_baseline=folder))  # takes the place of all


def test_feedback_that_comes_while_an_addition_waits_stays(tmp_path, base, monkeypatch):
  folder, _ = base
  one, hold = logs.Log(7).write(tmp_path / '7.log'), atomic.holding

  @contextlib.contextmanager
  def hold_late(path):
    monkeypatch.setattr(atomic, 'holding', hold)
    feedback.add(folder, 'a', 'normal')
    with hold(path):
      yield

  monkeypatch.setattr(atomic, 'holding', hold_late)
  scan.add_to_baseline(folder, [str(one)], scan.Options())
  assert [*feedback.read([folder])] == ['a']


@pytest.mark.parametrize(
  'arguments, message',
  [
    (('x', 'fine'), 'normal, anomaly, suppress'),
    (('x', 'normal', '2027-01-01'), '--until belongs to suppress'),
    (('x', 'suppress', 'tomorrow'), 'is no date'),
    (('nope', 'normal'), "no finding begins with 'nope'; there are: abc, abd"),
    (('ab', 'normal'), "several findings begin with 'ab'; there are: abc, abd"),
  ],
)
def test_wrong_feedback(tmp_path, arguments, message):
  rows = (f'{{"finding_id": "{name}"}}\n' for name in ('abc', 'abd'))
  (tmp_path / 'findings.jsonl').write_text(''.join(rows))
  with pytest.raises(errors.UserError, match=message):
    feedback.add(str(tmp_path), *arguments)
  assert not (tmp_path / feedback.FILE).exists()


def test_diff_and_baseline_programs(tmp_path, metalog):
  good = logs.Log(6).write(tmp_path / 'good.log')
  bad = bad_log(tmp_path)
  done = metalog('diff', good, '--', bad, '--json', '--fail-on-findings')
  assert done.code == 3
  assert [json.loads(line)['kind'] for line in done.out.splitlines()] == ['new']
  assert metalog('diff', good, bad).code == 1
  assert metalog('baseline', 'add', tmp_path / 'b', good).code == 0
  done = metalog('baseline', 'show', tmp_path / 'b')
  assert json.loads(done.out)['records'] == 2000
  assert metalog('baseline', 'ad', tmp_path / 'b', good).code == 1
  assert metalog('baseline', 'show', tmp_path / 'b', good).code == 1
