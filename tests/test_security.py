"""What docs/security.md promises, where no other file tests it."""

import ast
import html.parser
import json
import os
import pathlib
import re
import socket
import threading

import pytest

import metalog_jax
from metalog_jax import api, errors
from metalog_jax.logs import files, records
from metalog_jax.runs import run
from metalog_jax.scanning import output, scan, sinks
from tests.cli.conftest import fixture_metalog  # noqa: F401
from tests.runs import test_baseline_runs, test_detect
from tests.scanning import logs

fixture_root = test_detect.fixture_root
ROOT = pathlib.Path(metalog_jax.__file__).parent
PAGE = ROOT.parent / 'docs' / 'security.md'
FORBIDDEN = {'pickle', 'cPickle', 'dill', 'cloudpickle', 'marshal', 'shelve', 'code'}
CALLS = {'eval', 'exec', 'compile', '__import__', 'input'}  # as plain names
EXECUTED = {('export_runner.py', 'exec_module')}  # checksums compared
HOSTILE = (
  '\x1b[2J\x1b]0;owned\x07\x1b[31m', '\x9b31mC1', '\u202egnp.exe', '\0\0',
  '<script>alert(1)</script><img src=x onerror=alert(1)>', '"><svg/onload=alert(1)>',
  '</pre></body>', '\x08\x08\x7f', '\r', '${jndi:ldap://x/a}', '=cmd|calc!A0', '%n%s',
)  # fmt: skip


def test_nothing_in_the_package_executes_data():
  seen = 0
  for path in ROOT.rglob('*.py'):
    for node in ast.walk(ast.parse(path.read_text())):
      where = f'{path.name}:{getattr(node, "lineno", 0)}'
      if isinstance(node, ast.Import | ast.ImportFrom):
        names = [*(x.name for x in node.names), getattr(node, 'module', '') or '']
        assert not FORBIDDEN & {name.split('.')[0] for name in names}, where
      if not isinstance(node, ast.Call):
        continue
      seen += 1
      name = ast.unparse(node.func)
      given = {word.arg: ast.unparse(word.value) for word in node.keywords}
      assert name not in CALLS and not name.startswith(('os.exec', 'os.spawn')), where
      assert name not in ('os.system', 'os.popen', 'joblib.load', 'yaml.load'), where
      assert given.get('shell', 'False') == 'False', where
      if name.endswith('.load') and name.startswith('np.'):
        assert given.get('allow_pickle') == 'False', where
      if name.rsplit('.')[-1] in ('exec_module', 'run_path', 'run_module'):
        assert (path.name, name.rsplit('.')[-1]) in EXECUTED, where
  assert seen > 5000


def test_nothing_reaches_the_network_without_a_flag(root, tmp_path, monkeypatch):
  path = logs.Log(1, 400).write(tmp_path / 'a.log')

  def refused(*arguments, **_):
    raise AssertionError(f'network: {arguments}')

  for name in ('connect', 'connect_ex', 'bind', 'listen', 'sendto'):
    monkeypatch.setattr(socket.socket, name, refused)
  for name in ('getaddrinfo', 'gethostbyname', 'create_connection', 'create_server'):
    monkeypatch.setattr(socket, name, refused)
  scan.scan([str(path)], scan.Options(out=str(tmp_path / 'out')))
  job = test_baseline_runs.make_job(root, 'evidence')
  run.start(job, tmp_path / 'run', say=test_detect.quiet)
  verdicts = api.load(tmp_path / 'run').detect(root / 'b' / 'x.log')
  assert len(list(verdicts)) > 1
  with pytest.raises(AssertionError, match='network'):
    sinks.Metrics(port=0)


def test_only_this_machine_reads_the_metrics():
  metrics = sinks.Metrics(port=0)
  assert metrics.url.startswith('http://127.0.0.1:')
  metrics.show({}, last=True)


class _Page(html.parser.HTMLParser):
  """The tags of a page, and what they load or run."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.active = set(), []
    self.feed(text)

  def handle_starttag(self, tag, attributes):
    self.tags.add(tag)
    self.active += [
      (tag, name, value)
      for name, value in attributes
      if name.startswith('on') or name in ('src', 'href', 'action', 'data')
      and not (value or '').startswith(('#', 'data:image/png'))
    ]  # fmt: skip


@pytest.fixture(name='hostile', scope='module')
def fixture_hostile(tmp_path_factory):
  """A log whose attacker writes odd records, and a line of 100 MB."""
  log = logs.Log(1, 1000)
  for i, text in enumerate(HOSTILE):
    row = 75 * (i + 1)  # each a finding of its own
    log.records[row] = (log.records[row][0], 'CRITICAL', 'auth', text * 3)
  path = log.write(tmp_path_factory.mktemp('hostile') / 'x.log')
  with path.open('ab') as file:
    file.write(b'2026-05-04 12:00:00,000 CRITICAL [main] app.x: ' + b'A' * 100_000_000)
  return path


def test_hostile_lines_do_no_harm_in_any_output(hostile, tmp_path):
  found = scan.scan([str(hostile)], scan.Options(out=str(tmp_path)))
  assert len(found) > 5
  shown = output.terminal(found, 20, colour=False, width=100)
  assert all(c == '\n' or c.isprintable() for c in shown)
  output.write(found, str(tmp_path / 'out'))
  texts = {p.name: p.read_text() for p in (tmp_path / 'out').iterdir()}
  assert all(len(text) < 3_000_000 for text in texts.values())
  page = _Page(texts['report.html'])
  assert not page.active and not page.tags & {'script', 'iframe', 'object', 'img', 'b'}
  assert 'alert(1)' in texts['report.html']  # as text
  assert "default-src 'none'" in texts['report.html']
  lines = texts['findings.jsonl'].splitlines()
  assert [json.loads(line) for line in lines] == [item.as_dict() for item in found]
  unsafe = '[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]'
  assert not re.search(unsafe, ''.join(texts.values()))


def test_hostile_lines_do_no_harm_to_a_webhook_and_metrics(tmp_path):
  bodies, finding = [], {'template': ''.join(HOSTILE), 'why': '\udc80'}
  server = socket.create_server(('127.0.0.1', 0))

  def serve():
    there, _ = server.accept()
    with there:
      data = b''
      while not data.endswith(b'}'):
        data += there.recv(1 << 16)
      bodies.append(data)
      there.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')

  thread = threading.Thread(target=serve)
  thread.start()
  hook = sinks.Webhook(f'http://127.0.0.1:{server.getsockname()[1]}/')
  hook.put(finding)
  hook.close()
  thread.join()
  server.close()
  head, _, body = bodies[0].partition(b'\r\n\r\n')
  assert head.count(b'\r\n') < 9 and json.loads(body)['template'] == finding['template']
  sinks.Metrics(str(tmp_path / 'm')).show({'lines_total': 3.0}, {'new': 1}, last=True)
  form = re.compile(r'# TYPE metalog_\w+ \w+|metalog_\w+(\{kind="\w+"\})? [\d.e+-]+')
  assert all(map(form.fullmatch, (tmp_path / 'm').read_text().splitlines()))


SECRETS = {
  'ann.lee@example.org': 'mail to ann.lee@example.org bounced',
  '203.0.113.77': 'refused 203.0.113.77 port 22',
  '2001:db8::7334': 'refused 2001:db8::7334 port 22',
  'hunter2secret': 'login password=hunter2secret failed',
  'AKIAIOSFODNN7EXAMPLE': 'upload with AKIAIOSFODNN7EXAMPLE failed',
}


def test_redact_leaves_no_secret_in_any_output(tmp_path, metalog):
  """Report, findings, windows, summary, terminal, baseline and messages."""
  log = logs.Log(2, 1000)
  for i, text in enumerate(SECRETS.values()):
    log.records[600 + 5 * i] = (*log.records[600 + 5 * i][:1], 'CRITICAL', 'auth', text)
  path = log.write(tmp_path / 'ann.lee@example.org.log')
  kept = f'--save-baseline={tmp_path / "base"}'
  done = metalog('scan', path, '--redact', kept, f'--out={tmp_path / "out"}')
  assert done.code == 0 and 'CRITICAL' in done.out.upper()
  again = metalog('scan', path, '--redact', '--json', f'--baseline={tmp_path / "base"}')
  wrong = metalog('scan', tmp_path / 'nobody@example.org', '--redact')
  assert wrong.code == 1 and 'nobody@' not in wrong.err
  every = [p for folder in ('out', 'base') for p in (tmp_path / folder).rglob('*')]
  contents = [p.read_bytes() for p in every if p.is_file()]
  contents += [text.encode() for text in (*done[1:], *again[1:])]
  assert len(contents) > 8
  for secret in SECRETS:
    assert not any(secret.encode() in content for content in contents), secret


def test_links_and_pipes_in_a_folder_lead_nowhere(tmp_path):
  """Who writes into a folder of logs does not choose what else is read."""
  folder, outside = tmp_path / 'logs', tmp_path / 'outside.log'
  folder.mkdir()
  outside.write_text('root:secret\n')
  logs.Log(1, 50).write(folder / 'a.log')
  (folder / 'inside.log').symlink_to('a.log')
  reader = records.read(folder)
  assert sum(len(block.line) for block in reader) == 100  # of a link within, too
  os.mkfifo(folder / 'pipe.log')
  (folder / 'out.log').symlink_to('../outside.log')
  (folder / 'loop.log').symlink_to('loop.log')
  (folder / 'deep').symlink_to('..')  # a folder that holds itself
  (folder / 'same').symlink_to('.')
  reader = records.read(folder)
  assert not any('secret' in text for block in reader for text in block.text)
  why = {pathlib.Path(x.path).name: x.skipped for x in reader.inputs}
  assert 'out of its folder' in why['out.log'] and why['deep'] == why['out.log']
  assert 'same' not in why  # all in it is read
  assert {why['pipe.log'], why['loop.log']} == {'no regular file'}
  assert not why['a.log'] and not why['inside.log']
  with pytest.raises(errors.UserError, match='out.log is a link out of'):
    files.expand([str(folder)])
  assert files.expand([str(folder / 'out.log')])  # whom the user names
  (folder / 'out.log').unlink()
  with pytest.raises(errors.UserError, match='deep is a link out of'):
    files.expand([str(folder)])


def test_every_sentence_of_the_page_has_a_test():
  """The names of tests that docs/security.md gives are those of tests."""
  names = re.findall(r'`(tests/[\w/]+\.py)::(\w+)`', PAGE.read_text())
  assert len(names) > 25
  for file, name in names:
    source = (ROOT.parent / file).read_text()
    assert f'def {name}(' in source, f'{file}::{name}'
