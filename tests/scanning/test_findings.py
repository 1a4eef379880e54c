"""What a scan finds in logs of our own making, and what it leaves alone."""

import datetime
import json
import math
import os
import random

import pytest

from metalog_jax import errors
from metalog_jax.scanning import scan
from tests.scanning import logs


def findings(path, **options):
  return scan.scan([str(path)], scan.Options(**options))


def at(found, first, last):
  """Ranks of the findings that begin, or have a sample, between two lines."""
  return [
    rank
    for rank, item in enumerate(found)
    if first <= item.first.line <= last
    or any(first <= sample['line'] <= last for sample in item.samples)
  ]


@pytest.mark.parametrize('form', logs.FORMS)
@pytest.mark.parametrize('seed', range(2))
def test_outage_and_single_critical_line(tmp_path, form, seed):
  log = logs.Log(seed)
  log.outage(1200, 1230)
  log.put(1700, 'CRITICAL', 'disk', 'No space left on device /var/{n}')
  found = findings(log.write(tmp_path / 'x', form))
  assert len(found) == 2  # one a cause
  outage, disk = found
  assert outage.kind == 'new' and outage.severity == 'error'
  assert 1201 <= outage.first.line and outage.last.line <= 1230
  assert len(outage.templates) >= 2 and outage.p_value < 1e-6
  assert (disk.kind, disk.first.line, disk.count) == ('alarm', 1701, 1)
  assert 'No space left' in disk.samples[0]['text']
  assert str(disk.count) in disk.why or 'once' in disk.why


@pytest.mark.parametrize('form', logs.FORMS)
@pytest.mark.parametrize('records', [300, 1000, 4000])
def test_a_clean_log_gives_nothing(tmp_path, form, records):
  found = findings(logs.Log(records, records).write(tmp_path / 'x', form))
  assert not found.items
  assert any('nothing found' in text for text in found.warnings)


def test_false_alarms_of_clean_logs_are_few(tmp_path):
  """Of 40 logs, at the default rate; and start-up lines are no findings."""
  count = 0
  for seed in range(40):
    log = logs.Log(seed, 500)
    log.put(0, 'INFO', 'main', 'starting version 3.1')
    log.put(499, 'INFO', 'main', 'shutting down')
    count += len(findings(log.write(tmp_path / 'x')))
  assert count <= 3


def test_a_burst_of_a_usual_message(tmp_path):
  log = logs.Log(1, 1200)
  for _ in range(400):
    log.say('INFO', 'beat', 'heartbeat ok', gap=0.05)
  for _ in range(800):
    log.usually()
  found = findings(log.write(tmp_path / 'x'))
  assert found[0].kind == 'burst' and found[0].template == 'heartbeat ok'
  assert found[0].count > 390 and found[0].expected < 100
  assert at(found[:1], 1100, 1650)


def test_a_message_that_goes_silent(tmp_path):
  log = logs.Log(2)
  rows = enumerate(log.records)
  log.records = [
    r for i, r in rows if not (1000 <= i < 1400 and r[3] == 'heartbeat ok')
  ]
  found = findings(log.write(tmp_path / 'x'))
  assert [(item.kind, item.template) for item in found] == [('drop', 'heartbeat ok')]
  assert at(found, 1000, 1400) and found[0].expected > 20 and found[0].count == 0


def test_a_log_that_goes_silent(tmp_path):
  log = logs.Log(3, 1200)
  log.time += datetime.timedelta(minutes=20)
  for _ in range(1000):
    log.usually()
  found = findings(log.write(tmp_path / 'x'))
  assert found[0].kind == 'drop' and found[0].template == '(all records)'
  lines = [sample['line'] for sample in found[0].samples]
  assert len(lines) >= 2 and max(abs(line - 1200) for line in lines) < 40


def test_a_log_that_slows_down(tmp_path):
  log = logs.Log(11, 1500)
  log.gap = 12
  for _ in range(100):
    log.usually()
  log.gap = 2
  for _ in range(1000):
    log.usually()
  found = findings(log.write(tmp_path / 'x'))
  assert [(item.kind, item.template) for item in found] == [('drop', '(all records)')]
  assert at(found, 1480, 1620) and 0 < found[0].count < 150 < found[0].expected


@pytest.mark.parametrize('days', [1, 3])
@pytest.mark.parametrize('outage', [False, True])
def test_nights_are_no_silence_and_outages_by_day_are(tmp_path, days, outage):
  log = logs.Log(1, 0)
  begin = datetime.datetime(2026, 5, 4 + days // 2, 12)
  while (log.time - logs.START).days < days:
    hours = log.time.hour + log.time.minute / 60
    log.gap = 60 / (1.02 + math.sin((hours - 6) / 12 * math.pi))
    log.usually()
  rest = [not 0 <= (x[0] - begin).total_seconds() < 10800 for x in log.records]
  if outage:
    log.records = [x for x, stays in zip(log.records, rest) if stays]
  found = findings(log.write(tmp_path / 'x'))
  drops = [x for x in found if x.template == '(all records)']
  assert len(found) == len(drops) == outage
  if outage:
    assert drops[0].expected > 50 and at(drops, rest.index(False) - 5, len(rest))


@pytest.mark.parametrize('places', [3, 9])
def test_errors_spread_over_the_log_are_a_habit(tmp_path, places):
  log = logs.Log(36, 2000)
  for place in log.random.sample(range(100, 1900), places):
    log.put(place, 'ERROR', 'mail', 'mailbox {n} is full')
  assert len(findings(log.write(tmp_path / 'x'))) == (places < 8)


@pytest.mark.parametrize('kind', ['night and day', 'steady errors', 'batches', 'names'])
def test_what_is_usual_somewhere_is_no_finding(tmp_path, kind):
  usual = (*logs.USUAL, ('ERROR', 'pay', 'card of customer {n} declined', 0.5))
  log = logs.Log(21, 0, usual=usual if kind == 'steady errors' else logs.USUAL)
  for row in range(3000):
    if kind == 'night and day':
      log.gap = 60 / (1.2 + math.sin(log.time.hour / 24 * 2 * math.pi))
    log.usually()
    if kind == 'batches' and row % 250 == 10:
      for _ in range(6):
        log.say('INFO', 'batch', 'reindex of shard {m} took {n} ms', gap=0.1)
    if kind == 'names' and row % 5 == 0:
      name = ''.join(log.random.choices('abcdefghijklm', k=7))
      log.say('INFO', 'auth', f'user {name} logged in from 10.0.7.{row % 250}')
  assert not findings(log.write(tmp_path / 'x')).items


def test_a_status_that_changes(tmp_path):
  path = tmp_path / 'access.log'
  path.write_text('\n'.join(logs.access()) + '\n')
  found = findings(path)
  assert found[0].kind == 'value' and '502' in found[0].template
  assert at(found[:1], 1501, 1620)


def exits(rare):
  """A message that ends with one of three usual codes, and seldom with these."""
  usual = [('INFO', 'jobs', f'job {{m}} done exit={code}', 5) for code in (0, 1)]
  log = logs.Log(23, 1500, usual=usual)
  for row in rare:
    log.put(row, 'INFO', 'jobs', 'job {m} done exit=137')
  return log


@pytest.mark.parametrize(
  'rare,number', [((700, 702), 1), ((0,), 0), (range(0, 1500, 99), 0)]
)
def test_a_code_that_seldom_comes(tmp_path, rare, number):
  found = findings(exits(rare).write(tmp_path / 'x'))
  assert len(found) == number
  if number:
    assert found[0].kind == 'value' and found[0].template.endswith('[137]')
    assert found[0].first.line == 701 and 'all other values' in found[0].why


def test_succeeded_becomes_failed(tmp_path):
  usual = (*logs.USUAL, ('INFO', 'pay', 'payment of {n} succeeded', 3))
  log = logs.Log(4, usual=usual)
  for row in range(1000, 1040):
    log.put(row, 'INFO', 'pay', 'payment of {n} failed')
  found = findings(log.write(tmp_path / 'x'))
  assert at(found[:1], 1001, 1040) == [0]


def test_traces_are_records_and_alarms(tmp_path):
  lines = logs.Log(5, 500).lines()
  trace = [
    'Traceback (most recent call last):',
    '  File "/srv/a.py", line 3, in run',
    '    return rows[0]',
    "KeyError: 'id'",
  ]
  for row in (400, 200):
    head = lines[row].split(' [')[0].replace('INFO ', 'ERROR').split()[:2]
    lines[row : row + 1] = [f'{" ".join(head)} ERROR    [main] app.x: failed', *trace]
  path = tmp_path / 'x.log'
  path.write_text('\n'.join(lines) + '\n')
  found = findings(path)
  assert found[0].kind == 'alarm' and 'KeyError' in found[0].template
  assert 'Traceback' in found[0].samples[0]['text']
  assert found.summary['lines'] == 508 and found.summary['records'] == 500


def test_a_trace_below_an_ordinary_line_is_an_alarm(tmp_path):
  lines = logs.Log(22, 300).lines()
  path = tmp_path / 'x.log'
  trace = ['Traceback (most recent call last):', 'ValueError: boom']
  path.write_text('\n'.join([*lines, *trace]) + '\n')
  (item,) = findings(path)
  assert item.kind == 'alarm' and item.first.line == 300
  assert 'boom' in item.samples[0]['text']


@pytest.mark.parametrize('count', range(1, 6))
def test_tiny_files(tmp_path, count):
  log = logs.Log(6, count)
  log.put(count - 1, 'CRITICAL', 'disk', 'No space left on device /var/{n}')
  found = findings(log.write(tmp_path / 'x'))
  assert [item.first.line for item in found] == [count]
  assert any('too few to judge' in text for text in found.warnings)


@pytest.mark.parametrize('text', ['', '\n\n'])
def test_an_empty_file_is_called_empty(tmp_path, text):
  path = tmp_path / 'x.log'
  path.write_text(text)
  if text:
    assert not findings(path).items
  else:
    with pytest.raises(errors.UserError, match=r'x\.log is empty'):
      findings(path)


def test_what_a_good_run_does_not_have(tmp_path):
  good = logs.Log(7).write(tmp_path / 'good')
  log = logs.Log(8, 1000)
  log.outage(500, 530)
  log.put(800, 'INFO', 'disk', 'volume {n} is nearly full')
  log.records = [r for r in log.records if r[3] != 'heartbeat ok']
  found = findings(log.write(tmp_path / 'x'), baseline=(str(good),))
  assert {item.kind for item in found} == {'new', 'missing'}
  assert at(found, 420, 460) and at(found, 684, 684)
  missing = next(item for item in found if item.kind == 'missing')
  assert missing.template == 'heartbeat ok' and missing.expected > 50


def test_another_good_run_is_not_new(tmp_path):
  good = logs.Log(9).write(tmp_path / 'good')
  found = findings(logs.Log(10, 1500).write(tmp_path / 'x'), baseline=(str(good),))
  assert not found.items


def test_a_burst_beside_a_good_run(tmp_path):
  good = logs.Log(11).write(tmp_path / 'good')
  log = logs.Log(12, 600)
  for _ in range(200):
    log.say('INFO', 'beat', 'heartbeat ok', gap=0.05)
  for _ in range(300):
    log.usually()
  found = findings(log.write(tmp_path / 'x'), baseline=(str(good),))
  assert (found[0].kind, found[0].template) == ('burst', 'heartbeat ok')


def test_sessions_that_end_early(tmp_path):
  draw = random.Random(13)
  lines, time = [], logs.START
  for number in range(400):
    steps = ['opened', 'charged', 'shipped', 'closed']
    steps = steps[:2] if number in (150, 310) else steps
    for step in steps:
      time += datetime.timedelta(seconds=draw.expovariate(1))
      lines.append(f'{time:%Y-%m-%d %H:%M:%S} INFO shop: order {number + 5000} {step}')
  path = tmp_path / 'x.log'
  path.write_text('\n'.join(lines) + '\n')
  found = findings(path)
  assert found.summary['group'] == 'order' and found.summary['sessions'] == 400
  odd = {row['id'] for row in found.windows if row['unit'] == 'session'} & {
    row['id'] for row in found.windows if row['anomalous']
  }
  assert odd == {'5150', '5310'}
  assert found[0].kind == 'missing' and found[0].count == 2
  assert not findings(path, group='none').summary['sessions']
  with pytest.raises(errors.UserError, match="'order'"):
    findings(path, group='ordre')


def test_windows_of_a_duration_need_times(tmp_path):
  path = logs.Log(14, 100).write(tmp_path / 'x', 'plain')
  with pytest.raises(errors.UserError, match='no time could be read'):
    findings(path, window='5m')
  timed = logs.Log(14, 600).write(tmp_path / 'y')
  assert findings(timed, window='5m').summary['windows'] in (4, 5)
  assert findings(timed, window='50').summary['windows'] == 12


def test_findings_do_not_depend_on_blocks(tmp_path, monkeypatch):
  log = logs.Log(15)
  log.outage(1200, 1230)
  path = log.write(tmp_path / 'x')
  whole = [item.as_dict() for item in findings(path, window='1m')]
  read = scan.records.read
  small = lambda *given, **options: read(*given, block=77, **options)
  monkeypatch.setattr(scan.records, 'read', small)
  assert [item.as_dict() for item in findings(path, window='1m')] == whole


def test_findings_are_strict_json_with_the_promised_keys(tmp_path):
  log = logs.Log(16, 500)
  log.put(400, 'CRITICAL', 'disk', 'No space left on device /var/{n}')
  (item,) = findings(log.write(tmp_path / 'x'))
  line = json.loads(json.dumps(item.as_dict(), allow_nan=False))
  promised = (
    'finding_id kind score p_value template_id template count expected first last '
    'samples windows why state'
  )
  assert set(promised.split()) <= set(line)
  assert set(line['first']) == {'file', 'line', 'time'}
  assert set(line['samples'][0]) == {'file', 'line', 'time', 'text'}


@pytest.mark.parametrize(
  'text, state',
  [
    ('x:1690-1710,normal\n', 'known'),
    ('x:1690-1710\n', 'active'),
    ('{time},{time},normal\n', 'known'),
    ('{id},normal\n', 'known'),
    ('{id},anomaly\n', 'active'),
  ],
)
def test_labels_of_findings(tmp_path, text, state):
  log = logs.Log(17)
  log.put(1700, 'CRITICAL', 'disk', 'No space left on device /var/{n}')
  path = log.write(tmp_path / 'x')
  (before,) = findings(path)
  labels = tmp_path / 'labels.csv'
  labels.write_text(text.format(time=before.first.time, id=before.finding_id) + 'w9z,1')
  found = findings(path, labels=str(labels))
  assert [item.state for item in found] == [state]
  about = found.summary['labels']
  assert about['unmatched'] == 1 and about['first_unmatched'] == ['w9z']
  assert any('w9z' in text for text in found.warnings)


def test_labels_that_can_be_read_once(tmp_path):
  """As those of a shell's `<(...)`: they were read up to five times."""
  log = logs.Log(1, 3000)
  log.put(1700, 'FATAL', 'db', 'out of memory')
  path = log.write(tmp_path / 'x')
  reading, writing = os.pipe()
  os.write(writing, b'x:1690-1710,normal\n')
  os.close(writing)
  [item] = findings(path, labels=f'/dev/fd/{reading}')
  os.close(reading)
  assert item.state == 'known' and '/dev/fd/' in item.reason


def test_labels_that_are_wrong_are_refused_before_a_log_is_read(tmp_path):
  with pytest.raises(errors.UserError, match='check --labels'):
    findings(tmp_path / 'there is no such log', labels=str(tmp_path / 'none.csv'))


def test_incidents_judge_windows(tmp_path):
  log = logs.Log(18)
  log.outage(1200, 1230)
  path, labels = log.write(tmp_path / 'x'), tmp_path / 'labels.csv'
  labels.write_text(f'start,end\n{log.records[1200][0]},{log.records[1229][0]}\n')
  about = findings(path, labels=str(labels)).summary['labels']
  assert about['recall'] == 1 and about['precision'] == 1 and about['auprc'] == 1
  assert about['anomalies'] in (1, 2, 3) and about['judged'] > 50


@pytest.mark.parametrize(
  'usual, odd',
  [
    ('INFO web: GET /a/b 200 in 7 ms', 'INFO web: GET /a/b 502 in 7 ms'),
    ('INFO web: all quiet', 'INFO web: queue has grown'),
  ],
)
def test_what_stands_in_a_few_windows_alone_is_found_however_often(
  tmp_path, usual, odd
):
  """It was not in 3 of 50 windows: its own windows were taken for what is usual."""
  path = tmp_path / 'a.log'
  with open(path, 'w') as file:
    for i in range(3000):
      time = f'2026-03-01T08:{i // 120:02}:{i // 2 % 60:02}.000Z'
      text = odd if 2000 <= i < 2180 and i % 3 else usual
      print(time, text, file=file)
  found = findings(path)
  assert 0 in at(found, 2000, 2180) and len(found) == 1
