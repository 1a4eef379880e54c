"""Records that are blocks of `Key: value` lines, such as Windows event text.

A block begins where the first key of the file comes again. It becomes an object of JSON
on one line, with empty lines after it, as `json_arrays` has them.
"""

import codecs
import json
import re

from metalog_jax.logs.files import MAX_LINE

_PAIR = re.compile(r'^[ \t]*([A-Za-z][\w .-]{0,30}?)[ \t]*:(?:[ \t]+(.*))?$')
_EVENT = re.compile(r'^Event\[\d+\]')  # of wevtutil, above the keys
_TIME = re.compile(
  r'(?im)^[ \t]*(?:date|time|timecreated|timegenerated|timestamp)[ \t]*:'
)
_TEXT = ('message', 'description')  # keys whose value goes on to the block's end
_SAID = re.compile(rf'(?im)^[ \t]*(?:{"|".join(_TEXT)})[ \t]*:')
_LEAST = 4  # keys of a block without such a key


def splitter(sample: str) -> 'Blocks | None':
  """What splits a file that begins like this; None where it has no such blocks."""
  lines = [line for line in sample.split('\n') if line.strip()]
  if lines and _EVENT.match(lines[0]):
    begin = _EVENT
  else:
    first = _PAIR.match(lines[0].rstrip('\r')) if lines else None
    if first is None:
      return None
    begin = re.compile(rf'^[ \t]*{re.escape(first[1])}[ \t]*:[ \t]')
  begins = [i for i, line in enumerate(lines) if begin.match(line)]
  if len(begins) < 2:
    return None
  blocks = [lines[a:b] for a, b in zip(begins, begins[1:])]
  keyed = [sum(bool(_PAIR.match(line.rstrip('\r'))) for line in x) for x in blocks]
  texts = ['\n'.join(block) for block in blocks]
  is_named = re.match(r'[ \t]*[A-Z]', lines[0]) and min(keyed) >= _LEAST
  if not is_named and not all(_SAID.search(text) for text in texts):
    return None
  if not all(_TIME.search(text) for text in texts):
    return None
  return Blocks(begin)


class Blocks:
  """Text in, a block a line out; see `json_arrays.Splitter`."""

  name = 'key blocks'
  before, after, is_crowded = 0, 0, False

  def __init__(self, begin: re.Pattern):
    """A line that matches `begin` begins a block."""
    self._begin, self._rest = begin, ''
    self._block, self._size = list[str](), 0  # lines of the open block; characters
    self._decoder = codecs.getincrementaldecoder('utf-8')('surrogateescape')

  def feed(self, data: bytes, last: bool = False) -> bytes:
    """The blocks that this piece of UTF-8 ends."""
    lines = (self._rest + self._decoder.decode(data, last)).split('\n')
    self._rest = '' if last else lines.pop()[:MAX_LINE]
    if last and not lines[-1]:
      lines.pop()
    parts = []
    for line in lines:
      ends = self._begin.match(line) or self._size > MAX_LINE
      if ends and any(x.strip() for x in self._block):
        parts.append(self._end())
      self._block.append(line.rstrip('\r'))
      self._size += len(line)
    if last and self._block:
      parts.append(self._end())
    return ''.join(parts).encode('utf-8', 'surrogateescape')

  def _end(self) -> str:
    lines, self._block, self._size = self._block, [], 0
    item: dict[str, str] = {}
    key = ''
    for line in lines:
      pair = None if key.lower() in _TEXT else _PAIR.match(line)
      if pair and pair[1] not in item:
        key, item[pair[1]] = pair[1], (pair[2] or '').strip()
      elif key and line.strip():
        item[key] = f'{item[key]} {line.strip()}'.strip()
    return json.dumps(item, ensure_ascii=False) + '\n' * len(lines)
