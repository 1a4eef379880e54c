"""Damaged inputs: each is an error with one clear message, or is read and counted."""

import gzip
import json
import os
import pathlib

import pytest

from metalog_jax.logs import files, store, systems

GZIP = b'\x1f\x8b'
HEAD = '081109 203518 143 INFO dfs.X: '
LOG = ''.join(f'{HEAD}Received block blk_{i % 50}\n' for i in range(400)).encode()
LABELS = b'BlockId,Label\n' + b''.join(b'blk_%d,Normal\n' % i for i in range(50))
SESSIONS = b'{"session_id": "a", "events": ["E1"], "label": 0}\n' * 1
NAMES = b'event_id,template\nE1,one\n'


def hdfs(log=LOG, labels=None, suffix='', **options):
  return dict(system='hdfs', logs=('x.log' + suffix, log), labels=labels, **options)


def jsonl(sessions=SESSIONS, templates=NAMES):
  return dict(system='jsonl', sessions=('x.jsonl', sessions), templates=templates)


def custom(log=LOG, **options):
  form = r'^(?P<time>\d+ \d+) (?P<content>.*)$'
  return dict(system='custom', format=form, logs=('x.log', log), **options)


ERRORS = {
  'gzip cut short': (
    hdfs(gzip.compress(LOG)[:-9], suffix='.gz'),
    'x.log.gz: compressed data end too early: the file was cut short',
  ),
  'not gzip though named so': (
    hdfs(LOG, suffix='.gz'),
    'x.log.gz: damaged compressed data: .*incorrect header',
  ),
  'empty file': (hdfs(b''), 'x.log: no line to read, the input is empty'),
  'binary garbage': (
    hdfs(bytes(range(256)) * 400),
    r'lines are bad, more than --max_bad_lines=5% \(most of them: .*\); not one line '
    r'fits --system=hdfs:\n  .*x.log:1: ',
  ),
  'UTF-16': (
    hdfs(LOG.decode().encode('utf-16')),
    r'x.log is UTF-16: convert it first \(iconv -f UTF-16 -t UTF-8\)',
  ),
  'log of another system': (
    hdfs(b'- 1117838570 2005.06.03 R02 2005-06-03-15.42 R02 RAS KERNEL INFO x\n' * 9),
    'they look like --system=bgl:\n',
  ),
  'a tenth of the lines is damaged': (
    hdfs(LOG + b'oops\n' * 40),
    r'^40 of 440 lines are bad, more than --max_bad_lines=5% \(most of them: does not '
    r"fit the format\):\n  .*x.log:401: 'oops' \(does not fit the format\)\n",
  ),
  'log whose lines name no session': (
    hdfs(f'{HEAD}hello\n'.encode() * 9),
    '9 lines were read, but none names what it belongs to: check --system and --group',
  ),
  'labels of another system': (
    hdfs(labels=b'application_1,Normal\nx,Anomaly\n'),
    r'labels.csv: none of its 2 ids \(application_1, ...\) is a session of these logs',
  ),
  'labels that are a log': (
    hdfs(labels=LOG),
    "labels.csv:1: '081109 203518 143 INFO .* is not an id and a label",
  ),
  'labels without the label column': (
    hdfs(labels=b'BlockId\nblk_1\n'),
    "labels.csv:1: 'BlockId' is not an id and a label",
  ),
  'two labels for one id': (
    hdfs(labels=LABELS + b'blk_3,Anomaly\n'),
    'labels.csv:52: blk_3 has another label than in line 5',
  ),
  'structured file without Content': (
    dict(system='hdfs', logs=('x_structured.csv', b'LineId,Message\n1,blk_1\n')),
    'x_structured.csv: its header has no column Content',
  ),
  'templates without the template column': (
    jsonl(templates=b'id,text\nE1,one\n'),
    'templates.csv needs the columns event_id,template: check --templates',
  ),
  'two templates for one event id': (
    jsonl(templates=NAMES + b'E1,two\n'),
    'templates.csv:3: E1 has two different templates',
  ),
  'two sessions of one id': (
    jsonl(SESSIONS + SESSIONS.replace(b'"label": 0', b'"label": 1')),
    'x.jsonl:2: session_id a stands for two different sessions',
  ),
  'session with an event that has no template': (
    jsonl(SESSIONS.replace(b'E1', b'E9')),
    r'1 of 1 lines are bad, .*names an event that the templates lack',
  ),
  'session file that is not JSON': (jsonl(LOG), 'most of them: is not a JSON object'),
  'session file with strange labels': (
    jsonl(SESSIONS.replace(b'0}', b'"bad"}')),
    'most of them: label is not 0, 1 or null',
  ),
  'structured file with two columns of one name': (
    dict(system='hdfs', logs=('x_structured.csv', b'Content,Time,Time\n1,blk_1,1\n')),
    'x_structured.csv:1: two columns are called time',
  ),
  **{
    f'session file with {place[:20]}': (
      jsonl(b'{"session_id": "a", "events": ["E1"], %s}\n' % place.encode()),
      r'(?s)has a time or line number that is none.*x.jsonl:1: ',
    )
    for place in ('"first_line": 1e999', '"last_line": 9223372036854775808',
                  '"time": 1' + '0' * 400, '"time": 1e999', '"first_line": -1')
  },
  'times of another format': (
    custom(time_format='%d/%b/%Y %H%M%S'),
    "--time_format='%d/%b/%Y %H%M%S' reads none of the 400 times, such as '081109 2035",
  ),
  'times that need a format': (
    custom(), "--time_format='' reads none of the 400 times, such as '081109 203518'"
  ),
  **{
    f'--time_format={time_format!r}': (
      custom(time_format=time_format), f'--time_format={time_format}: it '
    )
    for time_format in ('%Q', '%Y%', '%9999Y', 'abc', '%H')
  },
  'labels beyond every size': (
    dict(hdfs(), labels=gzip.compress(b'blk_1,0\n' * (files.MAX_TEXT // 8 + 1))),
    'labels.csv.gz holds more than 268,435,456 bytes: check --labels',
  ),
  'labels that are a folder': (dict(hdfs(), labels='/tmp'), '/tmp is a folder: check'),
  'no such file': (
    dict(system='hdfs', logs=('no.log', None)),
    'no.log does not exist: check --logs',
  ),
  'no such labels': (
    dict(hdfs(), labels='nowhere.csv'),
    'nowhere.csv does not exist: check --labels',
  ),
}  # fmt: skip

READ = {
  '10 MB line': (
    hdfs(LOG + HEAD.encode() + b'x' * 10_000_000 + b'\n' + LOG),
    {'lines': 801, 'bad_lines': 1, 'events': 800},
  ),
  'CRLF line ends': (
    hdfs(LOG.replace(b'\n', b'\r\n'), LABELS),
    {'bad_lines': 0, 'events': 400, 'templates': 2},
  ),
  'mixed encodings': (
    hdfs(b''.join(
      [LOG, *(f'{HEAD}Größe blk_1\n'.encode(name) for name in ('utf-8', 'latin-1'))])),
    {'bad_lines': 0, 'events': 402, 'escaped_lines': 1},
  ),
  'no line end at the end': (hdfs(LOG[:-1]), {'lines': 400, 'events': 400}),
  'blank lines': (
    hdfs(LOG.replace(b'\n', b'\n\n')),
    {'bad_lines': 0, 'events': 400, 'skipped_lines': {'blank': 400}},
  ),
  'label twice': (
    hdfs(labels=LABELS + b'blk_3,Normal\n'), {'labels': {'duplicates': 1}}
  ),
  'label for an unknown id': (
    hdfs(labels=LABELS + b'blk_99,Anomaly\n'),
    {'labels': {'unknown_ids': 1, 'first_unknown_ids': ['blk_99']}},
  ),
  'sessions without a label': (
    hdfs(labels=b'blk_3,Anomaly\n'),
    {'anomalies': 1, 'unlabelled': 49, 'labels': {'sessions_without_label': 49}},
  ),
  'session twice': (
    jsonl(SESSIONS * 2), {'sessions': 1, 'skipped_lines': {'duplicate': 1}}
  ),
  'columns of our own names': (
    dict(system='hdfs', logs=('x_structured.csv', b'__text,__index,__fits,Content\n'
                              b'1,2,3,Received blk_1\n')),
    {'events': 1},
  ),
  'groups of our own names': (
    dict(custom(), format='^(?P<__text>.)(?P<__index>.)(?P<__fits>.)(?P<content>.*)$'),
    {'events': 400},
  ),
  'lone surrogates': (
    jsonl(SESSIONS.replace(b'"E1"', b'"\\ud800"').replace(b'"a"', b'"\\udfff"'), None),
    {'events': 1},
  ),
  'some times of another format': (
    custom(LOG + LOG.replace(b'081109 ', b'089999 '), time_format='%y%m%d %H%M%S'),
    {'bad_times': 400},
  ),
  'no time at all': (hdfs(), {'bad_times': 0}),
  'few damaged lines': (
    hdfs(LOG + b'oops\n'), {'bad_lines': 1, 'events': 400},
  ),
}  # fmt: skip


def make(folder: pathlib.Path, case: dict) -> systems.Options:
  """Writes the files of a case."""
  options = dict(case)
  for name in ('logs', 'sessions'):
    if name in options:
      file, content = options[name]
      if content is not None:
        (folder / file).write_bytes(content)
      options[name] = (str(folder / file),)
  for name in ('labels', 'templates'):
    if isinstance(content := options.get(name), bytes):
      path = folder / f'{name}.csv{".gz" * content.startswith(GZIP)}'
      path.write_bytes(content)
      options[name] = str(path)
  return systems.Options(**{k: v for k, v in options.items() if v is not None})


@pytest.mark.parametrize('name', ERRORS)
def test_error(tmp_path, name):
  case, message = ERRORS[name]
  with pytest.raises(ValueError, match=message) as caught:
    systems.prepare(make(tmp_path, case), tmp_path / 'out')
  assert len(str(caught.value).splitlines()[0]) < 300
  assert not (tmp_path / 'out').exists() and not list(tmp_path.glob('.out*'))


@pytest.mark.parametrize('name', READ)
def test_read_and_counted(tmp_path, name):
  case, wanted = READ[name]
  systems.prepare(make(tmp_path, case), tmp_path / 'out')
  manifest = json.loads((tmp_path / 'out' / store.MANIFEST).read_text())
  for key, value in wanted.items():
    if key == 'labels':
      assert value.items() <= manifest['labels'].items()
    else:
      assert manifest[key] == value, key


def test_line_ends_change_nothing(tmp_path):
  found = []
  for text in (LOG, LOG.replace(b'\n', b'\r\n')):
    systems.prepare(make(tmp_path, hdfs(text)), tmp_path / 'out')
    found.append((tmp_path / 'out' / store.SESSIONS).read_bytes())
  assert found[0] == found[1]


def test_read_only_folder(tmp_path, monkeypatch):
  def refuse(*args, **kwargs):
    raise OSError(30, 'Read-only file system')

  monkeypatch.setattr(pathlib.Path, 'mkdir', refuse)
  options = make(tmp_path, hdfs())
  with pytest.raises(ValueError, match='cannot write .*/out: Read-only file system'):
    systems.prepare(options, tmp_path / 'out')


@pytest.mark.parametrize(
  'change, message',
  [
    ({'system': 'hdsf'}, "--system='hdsf' is not one of .*; did you mean 'hdfs'"),
    ({'mining': 'canonicle'}, "did you mean 'canonical'"),
    ({'parser': 'papers'}, "--parser='papers' .* did you mean 'paper'"),
    ({'logs': ()}, '--system=hdfs needs --logs=PATH'),
    ({'system': 'jsonl', 'logs': ()}, '--system=jsonl needs --sessions=PATH'),
    ({'system': 'custom'}, '--system=custom needs --format=REGEX'),
    ({'system': 'custom', 'format': '(?P<content>.*)', 'window': '0'},
     '--group=none has no sessions by name: give --window'),
    ({'group': 'blocks'},
     "--system=hdfs --group='blocks' is not one of block, none; did you mean 'block'"),
    ({'window': '5x'}, '--window=5x: give lines'),
    ({'fit': 'most'}, "--fit: 'most' is neither a count"),
    ({'max_bad_lines': 'x'}, "--max_bad_lines: 'x' is neither"),
    ({'fit': '0%'}, '--fit=0% leaves no line'),
    ({'max_bad_lines': '5 percent'}, "'5 percent' is neither"),
    ({'max_events': -1}, '--max_events=-1'),
    ({'format': '(?P<content>.*)'}, '--format means nothing to --system=hdfs'),
    ({'sessions': ('x',)}, '--sessions means nothing to --system=hdfs'),
    ({'system': 'jsonl', 'sessions': ('x',)}, '--logs means nothing to --system=jsonl'),
  ],
)  # fmt: skip
def test_wrong_options(tmp_path, change, message):
  (tmp_path / 'x.log').write_bytes(LOG)
  given = {'system': 'hdfs', 'logs': (str(tmp_path / 'x.log'),)} | change
  with pytest.raises(ValueError, match=message):
    systems.prepare(systems.Options(**given), tmp_path / 'out')
  assert os.listdir(tmp_path) == ['x.log']
