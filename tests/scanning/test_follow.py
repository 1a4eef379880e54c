"""Logs that grow, rotate and are cut, and processes that are killed over them."""

import http.server
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from metalog_jax import errors
from metalog_jax.logs import live, streams, tail
from metalog_jax.scanning import follow, scan, sinks
from tests import kills
from tests.scanning import logs

PROGRAM = """
import sys
from metalog_jax.scanning import follow
follow.COMMIT = 400
from metalog_jax.cli import main
print('begun', file=sys.stderr, flush=True)
sys.exit(main.main(sys.argv[1:]))
"""


def text(records=2500, seed=3):
  """A log of 80 minutes with an outage and one message of its own."""
  log = logs.Log(seed, records)
  log.outage(1600, 1640)
  log.put(2200, 'CRITICAL', 'disk', 'No space left on device')
  return [f'{line}\n' for line in log.lines()]


@pytest.fixture(name='expected', scope='module')
def fixture_expected(tmp_path_factory):
  """What is found in the whole text at once."""
  path = tmp_path_factory.mktemp('whole') / 'app.log'
  path.write_text(''.join(text()))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(tail, 'PATIENCE', 0.05)
    patch.setattr(live, 'POLL', 0.01)
    patch.setattr(follow, 'COMMIT', 400)
    items = key(run(path, [])[0])
  assert 2 <= len(items) <= 6
  return items


@pytest.fixture(name='impatient')
def fixture_impatient(monkeypatch):
  monkeypatch.setattr(tail, 'PATIENCE', 0.05)
  monkeypatch.setattr(live, 'POLL', 0.01)
  monkeypatch.setattr(follow, 'COMMIT', 400)


def run(path, steps, out='', **options):
  """Follows while each step is done after the one before was read; the findings."""
  items, notes, steps = [], [], iter(steps)
  quiet = [0, -1]

  def beat(follower):
    quiet[0] = quiet[0] + 1 if follower.memory.lines == quiet[1] else 0
    quiet[1] = follower.memory.lines
    if quiet[0] > 8:
      quiet[0] = 0
      if next(steps, 'end') == 'end':
        follower.stopped = signal.SIGTERM

  options = scan.Options(out=str(out), **options)
  follower = follow.follow([str(path)], options, items.append, notes.append, beat)
  return items, notes, follower


def appending(path, lines, pieces=4):
  size = -(-len(lines) // pieces)
  for start in range(0, len(lines), size):
    with open(path, 'a') as file:
      file.writelines(lines[start : start + size])
    yield


def key(items):
  return [(x.finding_id, x.kind, x.count, x.windows[-1]) for x in items]


def rows(out):
  lines = (out / 'findings.jsonl').read_text().splitlines()
  found = [json.loads(line) for line in lines]
  return [(x['finding_id'], x['kind'], x['count'], x['windows'][-1]) for x in found]


def test_a_file_that_grows(tmp_path, impatient, expected):
  """In pieces, which do not matter."""
  path = tmp_path / 'app.log'
  path.touch()
  items, notes, _ = run(path, appending(path, text(), 9), tmp_path / 'out')
  assert any('learning' in note for note in notes)
  assert [x for x in items if x.first.line in range(1599, 1605) and x.kind == 'new']
  assert [x for x in items if x.severity == 'critical' and x.first.line == 2201]
  assert rows(tmp_path / 'out') == key(items) == expected


def test_rotation_and_truncation(tmp_path, impatient, expected):
  lines, path = text(), tmp_path / 'app.log'

  def steps():
    yield from appending(path, lines[:1000], 1)
    with open(path, 'a') as file:
      file.writelines(lines[1000:1200])
    path.rename(tmp_path / 'app.log.1')
    yield from appending(path, lines[1200:2000], 1)
    with open(path, 'w') as file:  # copied and truncated
      file.writelines(lines[2000:])
    yield

  path.touch()
  items, notes, follower = run(path, steps())
  assert follower.memory.lines == len(lines)
  assert any('truncated' in note for note in notes)
  assert key(items) == expected


def test_places_of_a_file_that_was_rotated_have_its_new_name(tmp_path, impatient):
  """They are judged later: all windows together at the end, or each when it closes."""
  lines, path = text()[1550:2250], tmp_path / 'app.log'

  def steps():
    path.write_text(''.join(lines[:300]))
    yield
    path.rename(tmp_path / 'app.log.1')
    path.write_text(''.join(lines[300:]))
    yield

  path.touch()
  items, *_ = run(path, steps(), window='5m')
  samples = [sample for item in items for sample in item.samples]
  assert {sample['file'] for sample in samples} == {str(path), f'{path}.1'}
  for sample in samples:
    with open(sample['file']) as file:
      assert file.read().splitlines()[sample['line'] - 1] == sample['text']


def test_times_of_another_century(tmp_path, impatient, expected):
  """They count where they stand: what follows is not swallowed by their window."""
  lines, path = text(), tmp_path / 'app.log'
  for row, year in ((0, '1970'), (700, '2099'), (1900, '2099')):
    lines[row] = lines[row].replace('2026', year, 1)
  path.touch()
  items, notes, follower = run(path, appending(path, lines, 5), tmp_path / 'out')
  assert key(items) == expected and follower.summary['times_not_believed'] == 2
  assert [x for x in notes if 'app.log:701: a time more than a day ahead' in x]


@pytest.mark.parametrize('seed', range(2))
def test_ends_anywhere_lose_and_double_nothing(
  tmp_path, impatient, seed, monkeypatch, expected
):
  """Also over a rotation while no process was there."""
  lines, path, out = text(), tmp_path / 'app.log', tmp_path / 'out'
  draw, told = random.Random(seed), []

  def tell(item):
    told.append(item)
    raise kills.Killed

  deaths = kills.lives(path, lines, 250, 1000, lambda: draw.randrange(3, 25))
  kills.kill_followers(monkeypatch, path, out, deaths, tell)
  more, notes, _ = run(path, [], out)
  assert rows(out) == expected and key(told + more) == expected
  assert not any('lost' in note for note in notes)


def start(path, out, *flags):
  command = [sys.executable, '-c', PROGRAM, 'scan', str(path), '--follow']
  return subprocess.Popen(
    [*command, f'--out={out}', *flags],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def test_ctrl_c_judges_what_was_read(tmp_path):
  path, out = tmp_path / 'app.log', tmp_path / 'out'
  path.write_text(''.join(text()[:1640]))
  process = start(path, out, '--json', f'--metrics={tmp_path / "metrics"}')
  first = json.loads(process.stdout.readline())
  time.sleep(0.3)
  process.send_signal(signal.SIGINT)
  rest, said = process.communicate()
  assert process.returncode == 130 and 'Traceback' not in said
  found = [first, *map(json.loads, rest.splitlines())]
  assert any(row['template'].startswith('connect to') for row in found)
  assert 'metalog_records_total 1640' in (tmp_path / 'metrics').read_text()


def test_standard_input_to_its_end_and_to_a_reader_that_goes(tmp_path):
  process = start('-', tmp_path / 'out', '--fail_on_findings')
  output, said = process.communicate(''.join(text()))
  assert process.returncode == 3 and 'No space left on device' in output
  path = tmp_path / 'app.log'
  path.write_text(''.join(text()))
  process = start(path, tmp_path / 'other')
  process.stdout.close()
  assert process.wait(20) == 0 and not [
    line for line in process.stderr if 'note' not in line and line != 'begun\n'
  ]


def test_a_named_pipe_and_writers_that_come_and_go(tmp_path, impatient, expected):
  lines, path = text(), tmp_path / 'app.pipe'
  os.mkfifo(path)

  def steps():
    for start in range(0, len(lines), 250):  # no more than a pipe holds
      with open(path, 'w') as pipe:
        pipe.writelines(lines[start : start + 250])
        pipe.flush()
        yield

  items, _, follower = run(path, steps(), tmp_path / 'out')
  assert key(items) == expected and follower.memory.lines == len(lines)


def test_state_is_bounded(tmp_path, impatient, monkeypatch):
  monkeypatch.setattr('metalog_jax.scanning.following.TEMPLATES', 60)
  monkeypatch.setattr('metalog_jax.scanning.following.WINDOWS', 30)
  path, lines = tmp_path / 'app.log', text()
  for i in range(0, len(lines), 5):
    word = ''.join(chr(97 + int(d)) for d in str(i))
    lines[i] = lines[i][:24] + f'INFO {word} {word[::-1]}x{word} {word}y\n'
  path.write_text(''.join(lines))
  _, _, follower = run(path, [])
  memory = follower.memory
  assert memory.filled <= 30 and len(memory.templates.texts) < 260


def test_another_folder_state_or_flag_is_refused(tmp_path, impatient):
  path, out = tmp_path / 'app.log', tmp_path / 'out'
  path.write_text(''.join(text()[:600]))
  run(path, [], out)
  with pytest.raises(errors.UserError, match='another window'):
    run(path, [], out, window='5m')
  run(path, [], tmp_path / 'masked', redact=True)
  with pytest.raises(errors.UserError, match='another redact'):  # and not go on without
    run(path, [], tmp_path / 'masked')
  (out / 'state.json').unlink()
  (out / 'findings.jsonl').write_text('{}\n')
  with pytest.raises(errors.UserError, match='did not follow'):
    run(path, [], out)
  (out / 'findings.jsonl').write_text('')  # killed before there was any state
  run(path, [], out)
  with pytest.raises(errors.UserError, match='compressed'):
    tail.Tail('app.log.gz', 0, streams.Options())
  with pytest.raises(errors.UserError, match='--webhook'):
    sinks.Webhook('ftp://x')


def test_a_changed_journal_or_state_is_refused(tmp_path, impatient):
  """Else a finding that was lost, or came from elsewhere, would look like written."""
  path, out = tmp_path / 'app.log', tmp_path / 'out'
  path.write_text(''.join(text()))
  run(path, [], out)
  for name in ('findings.jsonl', 'state.json'):
    whole = (out / name).read_bytes()
    assert whole
    late = b'2'.join(whole.rsplit(b'1', 2))
    for damaged in (whole[:-9], b'', whole.replace(b'1', b'2', 1), late, b'[]\n'):
      (out / name).write_bytes(damaged)
      with pytest.raises(errors.UserError, match=name):
        run(path, [], out)
    (out / name).write_bytes(whole)
  whole = (out / 'findings.jsonl').read_bytes()
  (out / 'findings.jsonl').write_bytes(whole + b'{"half')
  run(path, [], out)
  assert (out / 'findings.jsonl').read_bytes() == whole


def test_a_baseline_is_held_against(tmp_path, impatient):
  good = logs.Log(1).write(tmp_path / 'good.log')
  path = tmp_path / 'app.log'
  path.write_text(''.join(text()[1500:1700]))
  items, _, _ = run(path, [], baseline=(str(good),), window='1m')
  assert items[0].kind == 'new' and 'baseline' in items[0].why


def test_silence_is_told_once_while_it_lasts(tmp_path, impatient, monkeypatch):
  path = tmp_path / 'app.log'
  path.write_text(''.join(text()[:1500]))
  clock = [0.0]

  def rest():
    for _ in range(4):
      clock[0] += 61
      yield

  with monkeypatch.context() as patch:
    patch.setattr(follow.time, 'monotonic', lambda now=time.monotonic: now() + clock[0])
    items, _, _ = run(path, rest())
  silent = [item for item in items if item.template == '(all records)']
  assert len(silent) == 1 and 'nothing has come for 1 window of' in silent[0].why


def test_a_webhook_is_tried_again():
  bodies = []

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):  # noqa: N802
      body = self.rfile.read(int(self.headers['Content-Length']))
      bodies.append(json.loads(body))
      self.send_response(500 if len(bodies) == 1 else 204)
      self.end_headers()

    def log_message(self, *_):
      pass

  server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
  threading.Thread(target=server.serve_forever, daemon=True).start()
  hook = sinks.Webhook(f'http://127.0.0.1:{server.server_port}', pause=0.01)
  hook.put({'kind': 'new'})
  hook.close()
  server.shutdown()
  assert bodies == [{'kind': 'new'}] * 2 and (hook.sent, hook.dropped) == (1, 0)


def test_metrics_are_served_and_written(tmp_path):
  path = tmp_path / 'metrics'
  shown = sinks.Metrics(str(path), 0)
  assert shown.url.startswith('http://127.0.0.1:')
  shown.show({'lines_total': 12_345_678, 'templates': 7.0}, {'new': 2})
  with urllib.request.urlopen(shown.url) as reply:
    text, kind = reply.read().decode(), reply.headers['Content-Type']
  assert kind.startswith('text/plain; version=0.0.4') and text == path.read_text()
  assert 'metalog_lines_total 12345678\n' in text
  assert text.endswith('metalog_findings_total{kind="new"} 2\n')
  with pytest.raises(urllib.error.HTTPError):
    urllib.request.urlopen(shown.url + '/..')
  port = int(shown.url.split(':')[2].split('/')[0])
  with pytest.raises(errors.UserError, match=f'{port}.*another program has it.*or 0'):
    sinks.Metrics('', port)
  with pytest.raises(errors.UserError, match='--metrics_port=0 of 192.0.2.1'):
    sinks.Metrics('', 0, '192.0.2.1')
  shown.show({}, {}, last=True)
  with pytest.raises(OSError):
    urllib.request.urlopen(shown.url, timeout=1)


def test_jax_is_not_waited_for():
  code = 'import sys, metalog_jax.cli.follow; print("jax" in sys.modules)'
  result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
  assert result.stdout.strip() == 'False', os.environ.get('JAX_PLATFORMS')
