"""Damage: to bytes, to lines, to values within JSON, and to what tables hold."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

PIECES = (  # that have broken readers, of any format
  *(b'\0', b'\r', b'\n', b'\r\n', b'\n\n', b'\t', b' ', b'"', b"'", b',', b';', b':'),
  *(b'=', b'|', b'\\', b'\\"', b'{', b'}', b'[', b']', b'(', b'<', b'>', b'$1', b'%s'),
  *(b'\xff\xfe', b'\xef\xbb\xbf', b'\xed\xa0\x80', b'\xc3', b'\x80' * 9, b'\0' * 99),
  *(b'\x1b[31m', b'\x1b]0;x\x07', b'\x1f', b'\x01', b'\x0c', b'\x85', b'\x7f'),
  *('\u202e'.encode(), '\u2028'.encode(), '\u200b'.encode(), '\ufeff'.encode()),
  *('\ue000'.encode(), '\ue001'.encode(), '\U0001f600'.encode(), 'İ'.encode()),
  *(b'<*>', b'<NUM>', b'[*]', b'<script>', b'NaN', b'null', b'true', b'-', b'None'),
  *(b'0', b'-1', b'1e999', b'9' * 20, b'9223372036854775808', b'1' + b'0' * 400),
  *(b'0000-00-00 00:00:00', b'9999-12-31T23:59:60Z', b'2026-02-30 25:61:61', b'12:00'),
  *(b'1970-01-01 00:00:00', b'1772352000', b'Feb 29 00:00:00', b'24:00:00.0000000000'),
  *(b'Traceback (most recent call last):\n', b'\tat a.b(C.java:1)\n', b'Caused by: x'),
  *(b'#Fields: a a\n', b'time,message\n', b'### Normal:\n', b'\\u0000', b'\\ud800'),
  *(b'a' * 3000, b'a=' * 900, b'1.' * 900, b'/a' * 900, b'((' * 500, b'[{' * 500),
  *(b'\x1f\x8b\x08', b'BZh9', b'\xfd7zXZ\x00', b'\x28\xb5\x2f\xfd', b'PAR1', b'PK\3\4'),
)
VALUES = (  # of JSON
  *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**70, 1.5, -0.0, 1e308, float('nan')),
  *(float('inf'), '', 'x', '\0', '\n', '\ud800', '\u202e', '1', 'auto', 'a' * 5000),
  *([], [[]], [None], [1, 'x'], {}, {'a': 1}, [0] * 3000, '../../x', '/dev/zero'),
)
_INTERVALS = ((1, 8), (1, 80), (1, 4000))


def text(data: bytes, draw: random.Random, times: int = 0) -> bytes:
  """Data after some mutations of bytes and of lines, mostly few."""
  for _ in range(times or min(int(draw.expovariate(0.4)) + 1, 12)):
    data = draw.choice((_line if b'\n' in data else _piece, _piece, _bytes))(data, draw)
  return data[: 1 << 20]


def _bytes(data: bytes, draw: random.Random) -> bytes:
  """A byte changed, or a stretch removed, doubled, moved or overwritten."""
  if not data:
    return draw.choice(PIECES)
  start = draw.randrange(len(data))
  end = start + draw.randint(*draw.choice(_INTERVALS))
  what = draw.randrange(6)
  if what == 0:
    bit = bytes([data[start] ^ 1 << draw.randrange(8)])
    return data[:start] + bit + data[start + 1 :]
  if what == 1:
    return data[:start] + data[end:]
  if what == 2:
    return data[:end] + data[start:]
  if what == 3:
    place = draw.randrange(len(data))
    return data[:place] + data[start:end] + data[place:]
  if what == 4:
    return data[:start] + draw.randbytes(min(end - start, 200)) + data[end:]
  return data[:start]


def _piece(data: bytes, draw: random.Random) -> bytes:
  """One of PIECES put in, or in place of something, often at the ends of a field."""
  piece = draw.choice(PIECES)
  start = draw.randrange(len(data) + 1)
  marks = [i for i in range(max(0, start - 40), start) if data[i : i + 1] in b' ,:="[]']
  if marks and draw.random() < 0.5:
    start = draw.choice(marks) + 1
  end = start + draw.choice((0, 0, 1, len(piece)))
  return data[:start] + piece + data[end:]


def _line(data: bytes, draw: random.Random) -> bytes:
  """A line removed, repeated, moved, cut, joined to the next, or mixed with another."""
  lines = data.split(b'\n')
  row, other = draw.randrange(len(lines)), draw.randrange(len(lines))
  line = lines[row]
  what = draw.randrange(7)
  if what == 0:
    del lines[row]
  elif what == 1:
    lines[row:row] = [line] * draw.choice((1, 3, 50))
  elif what == 2:
    lines[row], lines[other] = lines[other], line
  elif what == 3:
    lines[row] = line[: draw.randint(0, len(line))]
  elif what == 4 and row + 1 < len(lines):
    lines[row : row + 2] = [line + lines[row + 1]]
  elif what == 5:
    lines[row] = line[: len(line) // 2] + lines[other][len(lines[other]) // 2 :]
  else:
    lines[row] = line * draw.choice((2, 30))
  return b'\n'.join(lines)


def value(content: Any, draw: random.Random) -> Any:
  """JSON with one value, at any depth, replaced, removed, doubled or renamed."""
  children: Sequence[Any] = ()
  if isinstance(content, dict) and content:
    children = list(content)
  elif isinstance(content, list) and content:
    children = range(min(len(content), 100))
  if not children or draw.random() < 0.15:
    kinds = (int, float) if isinstance(content, int | float) else (type(content),)
    alike = [item for item in VALUES if isinstance(item, kinds)]
    return draw.choice(alike if alike and draw.random() < 0.4 else VALUES)
  key = draw.choice(children)
  copy = dict(content) if isinstance(content, dict) else list(content)
  what = draw.random()
  if what < 0.1:
    del copy[key]
  elif what < 0.15 and isinstance(copy, dict):
    copy[f'{key}x'] = copy.pop(key)
  elif what < 0.2 and isinstance(copy, list):
    copy.insert(key, copy[key])
  else:
    copy[key] = value(copy[key], draw)
  return copy


def json_text(data: bytes, draw: random.Random) -> bytes:
  """A file of JSON, or of JSON lines, with values changed, or damaged as text."""
  try:
    if draw.random() < 0.2:
      raise ValueError
    try:
      return json.dumps(value(json.loads(data), draw)).encode('utf-8', 'surrogatepass')
    except ValueError:
      lines = [line for line in data.split(b'\n') if line]
      row = draw.randrange(len(lines))
      changed = value(json.loads(lines[row]), draw)
      lines[row] = json.dumps(changed).encode('utf-8', 'surrogatepass')
      return b'\n'.join(lines) + b'\n'
  except (ValueError, IndexError):
    return text(data, draw)


def table(frame: Any, draw: random.Random) -> Any:
  """A polars frame with a column removed, renamed, cast or emptied, or rows changed."""
  import polars as pl  # polars: not for --help

  name = draw.choice(frame.columns)
  changes: Sequence[Callable[[], Any]] = (
    lambda: frame.drop(name),
    lambda: frame.rename({name: f'{name}_'}),
    lambda: frame.with_columns(pl.lit(None).alias(name)),
    lambda: frame.with_columns(pl.col(name).cast(pl.String, strict=False)),
    lambda: frame.with_columns(pl.lit(draw.choice((-1, 2**40, 2**31 - 1))).alias(name)),
    lambda: frame.with_columns(pl.lit('\ud7ff\x1b[2J').alias(name)),
    lambda: frame.with_columns(pl.concat_list(pl.lit(1), pl.lit(-5)).alias(name)),
    lambda: frame[:0],
    lambda: frame[::-1],
    lambda: pl.concat([frame, frame]),
    lambda: frame[: draw.randint(0, len(frame))],
    lambda: frame.with_columns(pl.col(name).reverse()),
  )
  try:
    return draw.choice(changes)()
  except pl.exceptions.PolarsError:
    return frame[:0]
