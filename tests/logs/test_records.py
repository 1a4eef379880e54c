"""Logs of any layout as records: nothing lost, in time order, times in UTC."""

import gzip

import numpy as np
import pytest

from metalog_jax import errors
from metalog_jax.logs import records

APP = (
  '2026-03-01 08:00:0{i},174 INFO     [worker-2] app.http: GET /api/{i} 200 in 62 ms\n'
)
TRACE = """\
Traceback (most recent call last):
  File "/srv/app.py", line 8, in run
    row = fetch()
ValueError: no row
"""


def whole(paths, **options):
  """All blocks in one, and the reader."""
  reader = records.read(paths, **options)
  blocks = list(reader)
  columns = {
    name: [x for block in blocks for x in getattr(block, name)]
    for name in ('file', 'line', 'lines', 'time', 'level', 'message', 'text')
  }
  return columns, reader


@pytest.fixture
def write(tmp_path):
  def write(text, name='app.log', encoding='utf-8'):
    data = text if isinstance(text, bytes) else text.encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith('.gz') else data)
    return path

  return write


def test_application_log(write):
  path = write(''.join(APP.format(i=i) for i in range(9)))
  columns, reader = whole(path)
  assert columns['message'][3] == 'GET /api/3 200 in 62 ms'
  assert columns['level'] == ['INFO'] * 9
  assert str(columns['time'][3]) == '2026-03-01T08:00:03.174000'
  [block] = records.read(path)
  fields = {name: column.to_list() for name, column in block.fields.items()}
  assert fields == {'logger': ['app.http'] * 9, 'thread': ['worker-2'] * 9}
  [entry] = reader.inputs
  assert (entry.lines, entry.records, entry.fitted, entry.times) == (9, 9, 1.0, 1.0)


def test_a_trace_belongs_to_the_record_above_it(write):
  lines = [APP.format(i=i) for i in range(5)]
  columns, reader = whole(write(''.join([*lines[:2], TRACE, *lines[2:]])))
  assert columns['lines'] == [1, 5, 1, 1, 1] and columns['line'] == [1, 2, 7, 8, 9]
  assert columns['message'][1] == 'GET /api/1 200 in 62 ms ValueError'
  assert columns['text'][1] == lines[1] + TRACE.rstrip('\n')


def test_json_lines(write):
  text = (
    '{"ts":"2026-03-01T08:00:00Z","msg":"cannot open \\"a.txt\\": denied",'
    '"level":"error"}\n'
    '{"level":"info","msg":"ok","ts":"2026-03-01T10:00:01+02:00","request":{"id":"r1"}}\n'
  )
  columns, reader = whole(write(text))
  assert columns['message'] == ['cannot open "a.txt": denied', 'ok']
  assert columns['level'] == ['ERROR', 'INFO']
  assert str(columns['time'][1]) == '2026-03-01T08:00:01.000000'
  assert reader.inputs[0].format == 'json'


def test_rotated_files_are_read_oldest_first(write, tmp_path):
  for name, hours in (('app.log', '12'), ('app.log.1', '11'), ('app.log.2.gz', '10')):
    write(
      ''.join(f'2026-03-01T{hours}:0{i}:00Z INFO tick {i}\n' for i in range(5)), name
    )
  columns, reader = whole(tmp_path)
  assert (np.diff(columns['time']) > np.timedelta64(0)).all()
  assert [i.records for i in reader.inputs] == [5, 5, 5]


@pytest.mark.parametrize('block', [1, 3, 1000])
def test_files_are_merged_alike_whatever_the_blocks(write, tmp_path, block):
  for name in 'ab':
    write(''.join(f'2026-03-01T08:00:{i:02} {name} {i}\n' for i in range(50)), name)
  columns, _ = whole(tmp_path, block=block)
  assert columns['message'] == [f'{n} {i}' for i in range(50) for n in 'ab']


def test_plain_text(write):
  columns, reader = whole(write('hello\nworld\n  wrapped\n'))
  assert columns['message'] == ['hello', 'world'] and columns['lines'] == [1, 2]
  assert reader.inputs[0].format == 'plain' and np.isnat(columns['time']).all()


def test_what_is_not_read_is_named(write, tmp_path):
  write('2026-03-01T08:00:00 x\n', 'a.log')
  write(b'', 'empty.log')
  write(bytes(range(256)) * 9, 'program')
  _, reader = whole(tmp_path)
  assert [i.skipped for i in reader.inputs] == ['', 'empty', 'binary']


def test_nothing_to_read_is_an_error(write, tmp_path):
  with pytest.raises(errors.UserError, match='no log to read.*empty'):
    whole(write(''))
  with pytest.raises(errors.UserError, match='does not exist'):
    whole(tmp_path / 'missing.log')


@pytest.mark.parametrize('said,read', [
  ('"\\u00fcber \\ud83d\\ude00"', 'über 😀'), ('"\\ud800x"', '\\ud800x'),
  ('"a\\\\ud800"', 'a\\ud800'),
  ('null', 'n=1'), ('12', '12'), ('{"a": [1, {"b": 2}]}', 'message.a=[1, {"b": 2}]'),
  ('"a\\nb"', 'a'), ('""', 'n=1'),
])  # fmt: skip
def test_messages_of_json(write, said, read):
  path = write(f'{{"time": "2026-01-02T15:04:05Z", "message": {said}, "n": "1"}}\n')
  columns, reader = whole(path)
  assert columns['message'][0].removesuffix(' n=1') == read.removesuffix(' n=1')
  assert reader.inputs[0].format == 'json'


def test_json_objects_that_are_damaged_or_deep_are_records(write):
  good = '{"time": "2026-01-02T15:04:05Z", "message": "x"}\n'
  deep = '{"a":' * 5000 + '1' + '}' * 5000 + '\n'
  columns, reader = whole(
    write(good * 5 + '{"message": "cut\n' + deep + '[1]\n' + good)
  )
  assert columns['message'][5] == '{"message": "cut'
  assert len(columns['line']) == 9 and reader.inputs[0].num_fitted == 6
