"""Records that are blocks of `Key: value` lines."""

import time

import numpy as np
import pytest

from metalog_jax.logs import key_blocks, records
from metalog_jax.scanning import scan

EXPORT = """\
Log Name:      System
Source:        {source}
Date:          2026-03-09T08:{minute:02}:45
Event ID:      {id}
Level:         {level}
Description:
{text}
"""
WEVTUTIL = """\
Event[{minute}]:
  Log Name: System
  Source: {source}
  Date: 2026-03-09T08:{minute:02}:45.000
  Event ID: {id}
  Level: {level}
  Description:
{text}
"""


def events(form, odd=None, count=60):
  text = 'The service entered the stopped state.\nNote: it may come back.'
  for minute in range(count):
    values = {'source': 'SCM', 'id': 7036, 'level': 'Information', 'text': text}
    if minute == odd:
      values |= {'source': 'Disk', 'id': 51, 'level': 'Error', 'text': 'Bad block.'}
    yield form.format(minute=minute, **values)


@pytest.mark.parametrize('form', [EXPORT, WEVTUTIL])
@pytest.mark.parametrize('end', ['\n', '\r\n'])
def test_events_of_windows(tmp_path, form, end):
  path = tmp_path / 'x.log'
  text = '\n'.join(events(form, odd=40))
  path.write_bytes(text.replace('\n', end).encode())
  reader = records.read(str(path))
  [block] = [*reader]
  [entry] = reader.inputs
  assert (entry.format, entry.records, entry.times) == ('key blocks', 60, 1.0)
  assert entry.lines == text.count('\n')
  high = len(form.split('\n')) + 1  # lines of a block: two of text, an empty one
  assert block.line[:3].tolist() == [1, 1 + high, 1 + 2 * high]
  assert np.datetime_as_string(block.time[2], 's') == '2026-03-09T08:02:45'
  assert block.message[0].startswith('The service') and 'come back' in block.message[0]
  assert (block.level[40], block.message[40]) == ('ERROR', 'Bad block.')
  [item] = scan.scan([str(path)], scan.Options())
  assert item.kind == 'alarm' and item.first.line == 1 + 40 * high


@pytest.mark.parametrize('form', ['Time', 'time', 'timestamp'])
def test_a_time_and_a_message_are_enough(tmp_path, form):
  """Whatever its keys' letters; what was said was left out, as lines below."""
  path = tmp_path / 'x.log'
  path.write_text(
    ''.join(
      f'{form}: 2026-05-04 09:00:{i:02}\nlevel: INFO\nmessage: step {i} done\n\n'
      for i in range(60)
    )
  )
  [block] = [*records.read(str(path))]
  assert list(block.message) == [f'step {i} done' for i in range(60)]
  assert set(block.level) == {'INFO'} and not np.isnat(block.time).any()


@pytest.mark.parametrize('size', [1, 7, 1000])
def test_pieces_of_any_size_give_the_same(size):
  text = '\n'.join(events(EXPORT))
  whole = key_blocks.splitter(text).feed(text.encode(), last=True)
  pieces, data = key_blocks.splitter(text), text.encode()
  parts = [pieces.feed(data[i : i + size]) for i in range(0, len(data), size)]
  assert b''.join([*parts, pieces.feed(b'', last=True)]) == whole
  assert whole.count(b'{"') == 60


@pytest.mark.parametrize('text', [
  'Name: a\nDate: 2026-01-02\nName: b\nDate: 2026-01-02\n',  # few keys
  'A: 1\nB: 2\nC: 3\nD: 4\nA: 1\nB: 2\nC: 3\nD: 4\nA: 1\n',  # no time
  '2026-01-02 10:00:00 INFO up\n' * 5,
  'ERROR: down\n' * 5,
  '',
])  # fmt: skip
def test_other_texts_are_left_alone(text):
  assert key_blocks.splitter(text) is None


def test_a_block_without_an_end_does_not_grow_for_ever(monkeypatch):
  monkeypatch.setattr(key_blocks, 'MAX_LINE', 1000)
  text = '\n'.join(events(EXPORT, count=3))
  blocks = key_blocks.splitter(text)
  blocks.feed(text.encode())
  out = [blocks.feed(b'a line of no block\n') for _ in range(300)]
  assert sum(map(bool, out)) >= 4
  pieces = [blocks.feed(b'x' * 300) for _ in range(10)]
  assert not any(pieces) and len(blocks._rest) <= 1000  # of one line


def test_empty_lines_before_the_first_block_take_no_longer_than_their_number():
  text = '\n' * 30_000 + '\n'.join(events(EXPORT, count=3))
  blocks, begin = key_blocks.splitter(text), time.process_time()
  assert blocks.feed(text.encode(), last=True).count(b'{"') == 3
  assert time.process_time() - begin < 1  # each looked at from each other: 8
