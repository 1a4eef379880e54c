"""Valid small inputs of our own making, in every format that is read."""

import bz2
import functools
import gzip
import json
import lzma
import pathlib
import random

import zstandard

from metalog_jax.logs import encodings, layouts

COMPRESSED = {
  '.gz': gzip.compress,
  '.bz2': bz2.compress,
  '.xz': lzma.compress,
  '.zst': zstandard.ZstdCompressor().compress,
}
ENCODINGS = ('utf-8', 'utf-8-sig', 'utf-16', 'utf-32', 'cp1252', *encodings.CANDIDATES)
TRACE = """\
2026-01-02 15:04:05,123 ERROR [main] shop.api: cannot pay
Traceback (most recent call last):
  File "a.py", line 3, in pay
    raise ValueError('x')
ValueError: x
java.lang.IllegalStateException: closed
\tat com.example.Shop.run(Shop.java:5)
Caused by: java.io.IOException: disk
2026-01-02 15:04:06,456 INFO [main] shop.api: up
"""
TABLES = (
  'Date,Time,Level,Content\n2026-01-02,15:04:05,INFO,"a, ""b"""\n',
  'LineId,Time,Content\n1,2026-01-02 15:04:05,up\n2,2026-01-02 15:04:06,"two\nlines"\n',
  '#Fields: date time cs-method cs-uri-stem sc-status\n'
  '2026-01-02 15:04:05 GET /a 200\n2026-01-02 15:04:06 GET /b 503\n',
  '[{"time": "2026-01-02T15:04:05Z", "msg": "a"},\n{"msg": "b"}]\n',
)
LABELS = (
  'BlockId,Label\nblk_1000,Normal\nblk_1001,Anomaly\n',
  'blk_1000 0\nblk_1001 1\n"blk_1002"\ttrue\n',
  '2026-01-02T15:04:05,2026-01-02 15:09:00Z,disk\n1772352000,1772352060\n',
  'x.log:5-10,anomaly\nlogs/x.log:20-2\n',
  '### WordCount\nNormal:\n+ application_1\nDisk full:\n* application_2\n',
)
SESSIONS = ''.join(
  json.dumps({
    'session_id': f's{i}', 'events': ['E1', 'E2', 'E1'][: 1 + i % 3], 'label': i % 2,
    'time': 1.5 * i, 'first_line': i + 1, 'last_line': i + 9,
  }) + '\n'
  for i in range(12)
)  # fmt: skip
TEMPLATES = 'event_id,template\nE1,received <*> of <NUM>\nE2,"stored, ""twice"""\n'
FEEDBACK = ''.join(
  json.dumps({'finding_id': f'{i:012}', 'verdict': verdict, 'until': None}) + '\n'
  for i, verdict in enumerate(('normal', 'anomaly', 'suppress'))
)
MASKS = ('ORDER=ord-[0-9]+', r'X=\b(?:a|b){2,9}\d+', 'Y=[a-z]+@[a-z.]+', 'Z=(?i)id=x')
FORMS = (
  r'^(?P<time>\d+ \d+) (?P<level>[A-Z]+) (?P<message>.*)$',
  r'(?P<date>\S+) (?P<time>\S+) (?P<content>.*)$',
  r'^(?P<session>\S+?) (?!x)(?P<content>.*)$',
)


def log(draw: random.Random, lines: int = 60) -> bytes:
  """A log in one of the layouts that are known, or several of them mixed."""
  if draw.random() < 0.15:
    return draw.choice((TRACE, *TABLES)).encode()
  chosen = [item for item in layouts.LAYOUTS if item.example]
  kinds = draw.choices(chosen, k=draw.choice((1, 1, 1, 3)))
  rows = []
  for row in range(draw.randint(1, lines)):
    text = draw.choice(kinds).example
    second, number = f'{row % 60:02}', str(draw.randint(0, 10 ** draw.randint(1, 6)))
    rows.append(text.replace(':05', f':{second}').replace('42', number))
    if draw.random() < 0.02:
      rows.append(TRACE)
  return ('\n'.join(rows) + '\n').encode()


def raw(system: str, draw: random.Random, lines: int = 60) -> bytes:
  """Lines in the format of one of the six systems that `prepare` knows."""
  rows = [_raw_line(system, i, draw) for i in range(draw.randint(2, lines))]
  return '\n'.join([*rows, '']).encode()


def _raw_line(system: str, i: int, draw: random.Random) -> str:
  said = draw.choice(('received packet of', 'stored replica of', 'disk failure at'))
  clock = f'15:{i // 60 % 60:02}:{i % 60:02}'
  epoch, node = 1117838570 + i, f'R0{i % 3}-M1'
  heads = {
    'hdfs': f'081109 {clock.replace(":", "")} 14 INFO dfs.Node: {said} blk_{i % 9}',
    'bgl': f'- {epoch} 2005.06.03 {node} 2005-06-03-15.42.50.363779 {node} RAS KERNEL '
    f'INFO {said} {i}',
    'thunderbird': f'- {epoch} 2005.11.09 dn{i % 4} Nov 9 {clock} dn1/dn1 crond[{i}]: '
    f'{said} {i}',
    'openstack': f'nova.log 2017-05-16 {clock}.008 25 INFO nova.api [req-{i % 7:08x} - '
    f'- -] {said} {i}',
    'hadoop': f'2015-10-18 {clock},978 INFO [main] org.apache.hadoop.X: {said} '
    f'container_1445144423722_{i % 5:04}',
    'custom': f'081109 {clock.replace(":", "")} {said} {i}',
  }
  return heads['thunderbird' if system == 'spirit' else system]


@functools.cache
def vectors(kind: str) -> bytes:
  """Word vectors as GloVe's or word2vec's text, or word2vec's binary."""
  words = ('received', 'packet', 'of', 'stored', 'replica', 'disk', 'failure', 'at')
  numbers = [[(i * j) % 7 / 7 - 0.4 for j in range(5)] for i in range(len(words))]
  if kind == 'binary':
    import numpy as np  # numpy: not for --help

    rows = [f'{w} '.encode() + np.float32(n).tobytes() for w, n in zip(words, numbers)]
    return f'{len(words)} 5\n'.encode() + b'\n'.join(rows) + b'\n'
  head = f'{len(words)} 5\n' if kind == 'word2vec' else ''
  rows = [f'{w} {" ".join(f"{x:.3f}" for x in n)}\n' for w, n in zip(words, numbers)]
  return (head + ''.join(rows)).encode()


def stored(path: pathlib.Path, data: bytes, draw: random.Random) -> pathlib.Path:
  """Writes data, sometimes compressed, in another encoding or under a strange name."""
  if draw.random() < 0.1:
    name = draw.choice(ENCODINGS)
    data = data.decode('utf-8', 'replace').encode(name, 'replace')
  if draw.random() < 0.15:
    suffix = draw.choice([*COMPRESSED])
    path = path.with_name(path.name + suffix)
    if draw.random() < 0.9:
      data = COMPRESSED[suffix](data)
    if draw.random() < 0.3 and data:
      place = draw.randrange(len(data))
      data = data[:place] + draw.randbytes(2) + data[place + 2 :]
  path.write_bytes(data)
  return path
