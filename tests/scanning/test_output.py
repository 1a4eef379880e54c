"""What is printed and written, and what is kept out of it."""

import json
import re
import subprocess
import sys

import pytest

import metalog_jax as ml
from metalog_jax.scanning import output, redact, scan
from tests.cli.conftest import fixture_metalog  # noqa: F401
from tests.scanning import logs


@pytest.fixture(name='path')
def fixture_path(tmp_path):
  log = logs.Log(1, 1000)
  log.put(
    700,
    'CRITICAL',
    'auth',
    'login of ann@example.org from 10.1.2.3 refused, password=hunter2 '
    '\x1b[31m\x1b]0;x\x07<b>',
  )
  return log.write(tmp_path / 'x.log')


def test_files(path, tmp_path, metalog):
  done = metalog('scan', path, f'--out={tmp_path / "out"}')
  assert done.code == 0 and not done.err
  assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == sorted(output.FILES)
  summary = json.loads((tmp_path / 'out' / 'scan.json').read_text())
  promised = 'inputs templates windows baseline warnings seconds lines_per_second'
  assert set(promised.split()) <= set(summary)
  assert summary['lines'] == 1000 and summary['baseline'] == {'state': 'itself'}
  rows = [json.loads(x) for x in (tmp_path / 'out' / 'windows.jsonl').open()]
  assert sum(row['records'] for row in rows) == 1000
  assert [row['anomalous'] for row in rows].count(True) == 1
  page = (tmp_path / 'out' / 'report.html').read_text()
  assert (
    '<script' not in page and '<b>' not in page.split('<pre>')[1].split('</pre>')[0]
  )
  assert 'http' not in re.sub(r'HTTP|http-equiv', '', page)


def test_the_place_of_an_absence_is_seen_in_its_sparkline(tmp_path):
  log = logs.Log(2)
  silent = lambda row, text: 1000 <= row < 1400 and text == 'heartbeat ok'
  log.records = [x for i, x in enumerate(log.records) if not silent(i, x[3])]
  found = scan.scan([str(log.write(tmp_path / 'x.log'))], scan.Options())
  assert [item.kind for item in found] == ['drop']
  assert 'height="16" fill="var(--beats)" opacity' in output.report(found)


def test_logs_cannot_drive_a_terminal(path):
  found = scan.scan([str(path)], scan.Options())
  plain = output.terminal(found, 20, colour=False, width=100)
  assert '\x1b' not in plain and '\x07' not in plain and 'x.log:701' in plain
  coloured = output.terminal(found, 20, colour=True, width=100)
  assert re.sub(r'\x1b\[[0-9;]*m', '', coloured) == plain


DRIVING = '\x1b\x07\x85\x9b\x9d\x7f\u200e\u202e\u2066\u2069\u2028\u2029\ufeff'


def test_no_output_holds_what_drives_a_terminal_or_reorders_text(tmp_path, metalog):
  log = logs.Log(3, 600)
  path = tmp_path / 'x\u202e\x9b.log'
  log.put(400, 'CRITICAL', 'disk', f'disk {DRIVING} of müller 磁盘 is gone')
  log.write(path)
  found = scan.scan([str(path)], scan.Options())
  out = tmp_path / 'out'
  done = metalog('scan', path, f'--out={out}')
  texts = {'terminal': done.out, 'notes': done.err, 'repr': repr(found)}
  texts |= {'notebook': found._repr_html_()}
  texts |= {x.name: x.read_text() for x in out.iterdir()}
  texts['json'] = metalog('scan', path, '--json').out
  assert len(texts) == 5 + len(output.FILES)
  for name, text in texts.items():
    assert not {c for c in text if not c.isprintable()} - {'\n'}, name
  (line,) = texts['json'].splitlines()
  sample = json.loads(line)['samples'][0]['text']
  assert DRIVING[1:] in sample and '磁盘' in line and 'ü' in line  # nothing is lost


def test_redacted_everywhere(path, tmp_path, metalog):
  done = metalog('scan', path, f'--out={tmp_path / "out"}', '--redact')
  texts = [done.out, *(p.read_text() for p in (tmp_path / 'out').iterdir())]
  for secret in ('ann@', '10.1.2.3', 'hunter2'):
    assert not any(secret in text for text in texts)
  assert 'EMAIL' in done.out


@pytest.mark.parametrize(
  'text, masked',
  [
    ('mail a.b+c@x-y.co.uk now', 'mail <EMAIL> now'),
    ('from 192.168.0.1:80', 'from <IP>:80'),
    ('from 2001:db8::1, and 12:30:01', 'from <IP>, and 12:30:01'),
    ('Authorization: Bearer abc.def.ghi', 'Authorization: <SECRET>'),
    ('db://ann:pw@host/x', 'db://<SECRET>@host/x'),
    ('api_key="k 1" next', 'api_key=<SECRET> next'),
    ('{"token": "abc", "n": 1}', '{"token": <SECRET>, "n": 1}'),
    ('key AKIAABCDEFGHIJKLMNOP', 'key <TOKEN>'),
    ('jwt eyJhbGciOi.eyJzdWIi.c2ln', 'jwt <TOKEN>'),
    ('card 4111 1111 1111 1111.', 'card <NUMBER>.'),
    ('2026-05-04 09:00:01,123 took 12 ms', '2026-05-04 09:00:01,123 took 12 ms'),
    ('version 1.2.3 of app.db', 'version 1.2.3 of app.db'),
  ],
)
def test_redaction(text, masked):
  assert redact.text(text) == masked


def test_json_is_one_finding_a_line(path, metalog):
  done = metalog('scan', path, '--json')
  (line,) = done.out.splitlines()
  assert json.loads(line)['kind'] == 'alarm' and 'note:' in done.err


@pytest.mark.parametrize(
  'flags, message',
  [
    (('--window=5x',), '--window=5x'),
    (('--false_alarms=2',), '--false_alarms=2'),
    (('--mask=x',), '--mask=x'),
    (('--top=0',), 'top'),
    (('--baseline=nowhere',), 'nowhere'),
    (('--format=nope',), 'nope'),
  ],
)
def test_wrong_flags(path, metalog, flags, message):
  done = metalog('scan', path, *flags)
  assert done.code in (1, 2) and message in done.err and not done.out


def test_masks_and_what_is_kept(tmp_path, metalog):
  path = tmp_path / 'a.log'
  time = '2026-03-01 08:00:00,750 INFO app: '
  path.write_text(''.join(f'{time}zone z{i % 2} of {c}\n' for i, c in enumerate('abc')))
  flags = ('--mask', 'X=of [abc]', '--keep', 'z[0-9]', f'--out={tmp_path / "out"}')
  assert metalog('scan', str(path), *flags).code == 0
  assert json.loads((tmp_path / 'out' / 'scan.json').read_text())['templates'] == 2


def test_from_python(path):
  found = ml.scan(path)
  assert len(found) == 1 and found[0].first.line == 701
  assert [item.kind for item in found] == ['alarm']
  frame = found.to_polars()
  assert frame['first_line'].to_list() == [701]
  assert '&lt;b&gt;' in found._repr_html_() and 'alarm' in repr(found)
  records, marks = found.plot().axes
  assert records.lines and [len(line.get_xdata()) for line in marks.lines] == [1]
  with pytest.raises(ValueError, match='windwo'):
    ml.scan(path, windwo=5)


def test_jax_is_not_waited_for(path):
  code = (
    'import sys; from metalog_jax.cli import main; main.main(sys.argv[1:]);'
    "heavy = {'jax', 'flax', 'matplotlib', 'sklearn', 'scipy.stats'};"
    'sys.exit(len(heavy & set(sys.modules)))'
  )
  done = subprocess.run([sys.executable, '-c', code, 'scan', path], capture_output=True)
  assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('template,shown', [
  ('short [gc 5 ms or more]', 'short [gc 5 ms or more]'),
  ('a' * 50 + ' [gc 5 ms or more]', 'a' * 19 + '... [gc 5 ms or more]'),
  ('a' * 50, 'a' * 40), ('a' * 20 + ' [' + 'b' * 30 + ']', 'a' * 20 + ' [' + 'b' * 18),
])  # fmt: skip
def test_a_value_is_shown_where_its_template_is_long(template, shown):
  text = output._fitted(template, 40)
  assert text == shown and len(text) <= 40
