"""Targets that read text: logs of every format, labels, sessions, vectors, regexes.

A target is given a folder and a source of chance; it makes an input there, has it read,
and returns how many lines and files went by. UserError is an answer; whatever else
escapes, and `Broken`, is a finding.
"""

import contextlib
import json
import pathlib
import random
import re
from collections.abc import Callable

from experiments.fuzzing import inputs, mutations
from metalog_jax import clean, errors
from metalog_jax.embeddings import vector_files
from metalog_jax.logs import labels, layouts, messages, records, systems
from metalog_jax.scanning import feedback, output, redact, scan

Count = tuple[int, int]  # lines, files
_CONTROLS = re.compile('[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800]')
_REGEXES = (
  *('[', '(', ')', '*', '{9}', '{1,999}', '?', '|', '\\', '(?=a)', '\\1', '$', '\0'),
  *('\\p{L}', '(?P<x>', '(?i)', '.*', '(a+)+', '^', '\\b', '\n'),
)


class Broken(AssertionError):
  """Something that must hold did not."""


def hold(what: str, is_so: bool, shown: object = '') -> None:
  """Raises Broken where it is not so."""
  if not is_so:
    raise Broken(f'{what}: {shown}')


def no_controls(what: str, text: str) -> None:
  """Raises Broken where a text could drive a terminal."""
  match = _CONTROLS.search(text)
  hold(f'{what} holds a control character', not match, match and ascii(match[0]))


def readers(folder: pathlib.Path, draw: random.Random) -> Count:
  """`records.read`: each line of each file is in one record."""
  paths, bare = [], 0
  for number in range(draw.choice((1, 1, 1, 2, 4))):
    name = draw.choice(('a.log', 'a.log.1', 'app-2026-01-02.log', 'x\ny', 'ü%s'))
    data = mutations.text(inputs.log(draw, 150), draw)
    bare += bare_lines(data)
    paths.append(inputs.stored(folder / f'{number}{name}', data, draw))
  form = draw.choice(('auto', 'auto', 'auto', 'json', 'syslog', 'plain', 'table'))
  encoding = draw.choice(('auto', 'auto', 'auto', 'utf-8', 'cp1252'))
  reader = records.read(paths, form, encoding, draw.choice((20_000, 7)))
  total = 0
  for block in reader:
    total += int(block.lines.sum())
    hold('columns are of one length', {len(block)} == {
      len(x) for x in (block.time, block.level, block.message, block.text, block.file)
    })  # fmt: skip
    columns = [block.message, block.text, *block.fields.values()]
    json.dumps([column.to_list() for column in columns]).encode()
    for text in block.message[:5]:
      no_controls('clean.text', clean.text(text))
  counted = sum(item.lines for item in reader.inputs)
  is_whole = total <= counted <= total + bare
  hold('lines of records are those counted', is_whole, (total, counted, bare))
  for path, entry in zip(paths, reader.inputs):
    if path.suffix in inputs.COMPRESSED or entry.skipped or 'utf-8' != entry.encoding:
      continue
    data = path.read_bytes()
    if b'\r' not in data and not data.startswith(b'\0' * 64):
      all_lines_counted(data, entry)
  return counted, len(paths)


def bare_lines(data: bytes) -> int:
  """Lines that may be counted without being in a record: of an array of JSON, those
  before its first object and after its last."""
  if data.lstrip()[:1] not in (b'[', b'{'):
    return 0
  lines = data.removesuffix(b'\n').split(b'\n')
  return sum(not line.strip(b' \t\r\f\v\x1e,[]{}') for line in lines)


def all_lines_counted(data: bytes, entry: records.Input) -> None:
  """Raises Broken where a file was read as so many lines that it does not have.

  Where objects of JSON share a line, as a note says, lines count objects.
  """
  lines = data.count(b'\n') + (not data.endswith(b'\n') and bool(data))
  is_crowded = any('count its objects' in note for note in entry.notes)
  is_so = lines <= entry.lines if is_crowded else lines == entry.lines
  hold('all lines are counted', is_so, (lines, entry.lines))


def scanned(folder: pathlib.Path, draw: random.Random) -> Count:
  """`scan`: all that is printed and written is whole, and drives nothing."""
  path = folder / draw.choice(('a.log', 'x\ny.log', '\u202e.log'))
  data = mutations.text(b''.join(inputs.log(draw, 400) for _ in range(2)), draw)
  path = inputs.stored(path, data, draw)
  options: dict = {'redact': draw.random() < 0.3}
  if draw.random() < 0.2:
    options['window'] = draw.choice(('5', '1s', '10m', '3d'))
  if draw.random() < 0.2:
    options['labels'] = str(folder / 'labels.csv')
    said = mutations.text(draw.choice(inputs.LABELS).encode(), draw)
    (folder / 'labels.csv').write_bytes(said)
  if draw.random() < 0.2:
    options['group'] = draw.choice(('none', 'pid', 'host', 'req-', 'no such'))
  if draw.random() < 0.3:
    (folder / 'good.log').write_bytes(mutations.text(inputs.log(draw, 300), draw))
    options['baseline'] = (str(folder / 'good.log'),)
  found = scan.scan([str(path)], scan.Options(**options))
  out = folder / 'out'
  output.write(found, str(out))
  no_controls('the terminal', output.terminal(found, 20, False, 100).replace('\n', ''))
  page = (out / 'report.html').read_text('utf-8')
  no_controls('report.html', page.replace('\n', ''))
  hold('report.html has no script', '<script' not in page.lower())
  rows = [json.loads(line) for line in (out / 'windows.jsonl').open('rb')]
  number = sum(row['records'] for row in rows if row['unit'] == 'window')
  hold('windows hold all records', number == found.summary['records'], number)
  for line in (out / 'findings.jsonl').open('rb'):
    json.loads(line)
  return found.summary['lines'], 1


def prepared(folder: pathlib.Path, draw: random.Random) -> Count:
  """`prepare` of every system: lines are events, skipped or bad, and counted."""
  system = draw.choice(
    ('hdfs', 'bgl', 'spirit', 'openstack', 'hadoop', 'custom', 'auto')
  )
  data = inputs.log(draw) if system == 'auto' else inputs.raw(system, draw)
  data = mutations.text(data, draw)
  name = 'x.log'
  if system not in ('auto', 'custom') and draw.random() < 0.15:
    name = 'x_structured.csv'
    data = mutations.text(inputs.TABLES[1].encode() * draw.randint(1, 9), draw)
  path = inputs.stored(folder / name, data, draw)
  more: dict = {'max_bad_lines': draw.choice(('100%', '5%', '3'))}
  if system == 'custom':
    more['format'] = regex(draw.choice(inputs.FORMS), draw, 0.3)
    more['time_format'] = draw.choice(('', '', '%y%m%d %H%M%S', '%d/%b'))
  if draw.random() < 0.3:
    labelled = mutations.text(draw.choice(inputs.LABELS).encode(), draw)
    (folder / 'labels.csv').write_bytes(labelled)
    more['labels'] = str(folder / 'labels.csv')
  if draw.random() < 0.3:
    more['window'] = draw.choice(('5', '1m', '10/5', '0', '3h'))
  options = systems.Options(system, logs=(str(path),), **more)
  manifest = systems.prepare(options, folder / 'system')
  others = manifest['bad_lines'] + sum(manifest['skipped_lines'].values())
  total = manifest['lines']
  hold('events are no more than lines', others <= total, (others, total))
  if path.suffix not in inputs.COMPRESSED and system != 'auto':
    data = path.read_bytes()
    lines = data.count(b'\n') + (not data.endswith(b'\n'))
    hold('all lines are counted', lines == total, (lines, total))
  return total, 1


def sessions(folder: pathlib.Path, draw: random.Random) -> Count:
  """Session files and their templates."""
  data = mutations.json_text(inputs.SESSIONS.encode(), draw)
  path = inputs.stored(folder / 'x.jsonl', mutations.json_text(data, draw), draw)
  more = {}
  if draw.random() < 0.7:
    more['templates'] = str(folder / 't.csv')
    said = inputs.TEMPLATES.encode()
    said = mutations.text(said, draw) if draw.random() < 0.3 else said
    (folder / 't.csv').write_bytes(said)
  options = systems.Options('jsonl', sessions=(str(path),), max_bad_lines='99%', **more)
  manifest = systems.prepare(options, folder / 'system')
  others = manifest['bad_lines'] + sum(manifest['skipped_lines'].values())
  total = manifest['sessions'] + others
  hold('each line is a session or counted', total == manifest['lines'], manifest)
  return manifest['lines'], 1


def labelled(folder: pathlib.Path, draw: random.Random) -> Count:
  """Files of labels."""
  data = mutations.text(draw.choice(inputs.LABELS).encode(), draw)
  path = inputs.stored(folder / 'labels.csv', data, draw)
  known = labels.read(str(path))
  hold('ids are unique', known.table['id'].is_unique().all())
  json.dumps(known.ranges.unmatched)
  return known.input.lines, 1


def vectors(folder: pathlib.Path, draw: random.Random) -> Count:
  """Files of word vectors."""
  data = inputs.vectors(draw.choice(('glove', 'word2vec', 'binary')))
  path = inputs.stored(folder / 'v.txt', mutations.text(data, draw), draw)
  _, table = vector_files.read(path, {'received', 'packet', 'disk', 'of'})
  hold('vectors are finite', bool((table == table).all()))
  return len(data.split(b'\n')), 1


def said(folder: pathlib.Path, draw: random.Random) -> Count:
  """feedback.jsonl."""
  data = mutations.json_text(inputs.FEEDBACK.encode(), draw)
  (folder / feedback.FILE).write_bytes(data)
  (folder / 'findings.jsonl').write_bytes(mutations.json_text(data, draw))
  feedback.read([str(folder)])
  with contextlib.suppress(errors.UserError):
    feedback.add(str(folder), draw.choice(('0', '000000000001', 'x')), 'normal')
  return data.count(b'\n'), 2


def regex(pattern: str, draw: random.Random, share: float = 0.5) -> str:
  """A regular expression, of which some are damaged."""
  if draw.random() > share:
    return pattern
  for _ in range(draw.randint(1, 3)):
    place = draw.randint(0, len(pattern))
    cut = draw.choice((0, 0, 1, 3))
    pattern = pattern[:place] + draw.choice(_REGEXES) + pattern[place + cut :]
  return pattern


def masks(folder: pathlib.Path, draw: random.Random) -> Count:
  """--mask, --keep and --format, on lines that expressions are slow on."""
  del folder
  lines = [
    draw.choice(layouts.LAYOUTS).example,
    'a' * 20_000,
    'a@' * 9000,
    '(' * 20_000,
  ]
  rules = [regex(draw.choice(inputs.MASKS), draw) for _ in range(draw.randint(0, 3))]
  keep = [regex('z[0-9]+', draw)] if draw.random() < 0.5 else []
  templates = messages.Templates(masks=rules, keep=keep)
  templates.add(lines, None)
  templates.group()
  records.read('-', format=regex(draw.choice(inputs.FORMS), draw))
  for line in lines:
    redact.text(line)
  return len(lines), 1


TARGETS: dict[str, Callable[[pathlib.Path, random.Random], Count]] = {
  'readers': readers,
  'scan': scanned,
  'prepare': prepared,
  'sessions': sessions,
  'labels': labelled,
  'vectors': vectors,
  'feedback': said,
  'masks': masks,
}
