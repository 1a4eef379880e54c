"""Files that are one array of JSON, or objects of several lines; dates apart."""

import json

import numpy as np
import pytest

from metalog_jax.logs import json_arrays, records

ITEMS = [
  {'ts': f'2026-01-02T15:04:{i:02}Z', 'level': 'info', 'msg': f'été {{{i}}}, "[up]"'}
  for i in range(40)
]


def read(path):
  reader = records.read(str(path))
  blocks = [*reader]
  messages = [message for block in blocks for message in block.message]
  return reader.inputs[0], messages, np.concatenate([block.line for block in blocks])


@pytest.mark.parametrize('indent', [None, 2])
@pytest.mark.parametrize('form', ['array', 'wrapped', 'apart'])
@pytest.mark.parametrize('end', ['\n', '\r\n'])
def test_objects_are_records_at_their_lines(tmp_path, form, indent, end):
  path = tmp_path / 'x.json'
  text = json.dumps(ITEMS, indent=indent, ensure_ascii=False)
  if form == 'wrapped':
    text = json.dumps({'Records': ITEMS}, indent=indent, ensure_ascii=False)
  if form == 'apart':
    text = '\n'.join(json.dumps(x, indent=indent, ensure_ascii=False) for x in ITEMS)
  path.write_bytes((text + '\n').replace('\n', end).encode())
  entry, messages, lines = read(path)
  assert messages == [item['msg'] for item in ITEMS]
  assert (entry.format, entry.fitted, entry.times) == ('json', 1.0, 1.0)
  crowded = indent is None and form != 'apart'
  begins = [i for i, x in enumerate(text.split('\n'), 1) if x.strip() in ('{', '},{')]
  if indent:
    assert lines.tolist() == begins[form == 'wrapped' :]
    assert entry.lines == text.count('\n') + 1
  else:
    assert lines.tolist() == [*range(1, 41)]
  assert any('count its objects' in note for note in entry.notes) == crowded


@pytest.mark.parametrize('size', [1, 7, 1000])
def test_pieces_of_any_size_give_the_same(size):
  data = json.dumps(ITEMS, indent=1).encode()
  whole = json_arrays.splitter(data.decode()).feed(data, last=True)
  pieces = json_arrays.splitter(data.decode())
  parts = [pieces.feed(data[i : i + size]) for i in range(0, len(data), size)]
  assert b''.join([*parts, pieces.feed(b'', last=True)]) == whole


def test_what_ends_early_is_not_lost(tmp_path):
  path = tmp_path / 'x.json'
  path.write_text(json.dumps(ITEMS)[:-20])
  _, messages, _ = read(path)
  assert len(messages) == 40 and messages[:39] == [item['msg'] for item in ITEMS[:39]]


@pytest.mark.parametrize(
  'line',
  ['{"msg": "x", "items": [{"a": 1}]}', '{"items": [{"a": 1}], "msg": "x"}', '[x] y'],
)
def test_lines_are_left_alone(line):
  assert json_arrays.splitter(f'{line}\n{line}\n') is None


@pytest.mark.parametrize('names', [('date', 'time'), ('logDate', 'logTime')])
def test_date_and_time_in_keys_of_their_own(tmp_path, names):
  path = tmp_path / 'x.jsonl'
  date, time = names
  items = [{date: '2026-01-02', time: f'15:04:{i:02}', 'msg': 'up'} for i in range(30)]
  path.write_text(''.join(json.dumps(item) + '\n' for item in items))
  [block] = [*records.read(str(path))]
  assert str(block.time[3]) == '2026-01-02T15:04:03.000000'
