"""A file that is one JSON array, or objects of several lines, as an object a line.

Empty lines are put after an object for the lines that it went over, so that the
numbers of lines stay those of the file; where several objects share a line, lines
count objects.
"""

import codecs
import json
import re

from metalog_jax.logs.files import MAX_LINE

_ARRAY = re.compile(r'\s*\[\s*\{\s*["}]')
_WRAPPED = re.compile(r'\s*\{\s*"[\w.@-]{1,40}"\s*:\s*\[\s*(?=\{\s*")')
_PRETTY = re.compile(r'\s*\{[ \t]*\r?\n\s*"')
_BETWEEN = re.compile(r'[\s,\[\]}\x1e]*')


def splitter(sample: str) -> 'Splitter | None':
  """What splits a file that begins like this; None where it has an object a line."""
  if _ARRAY.match(sample):
    return Splitter(0)
  if _PRETTY.match(sample) and not _WRAPPED.match(sample):
    return Splitter(0)
  wrapped = _WRAPPED.match(sample)
  line, _, rest = sample.lstrip().partition('\n')
  if wrapped and (not rest.strip() or not _is_json(line)):
    return Splitter(wrapped.end())
  return None


def _is_json(text: str) -> bool:
  try:
    return bool(json.loads(text))
  except (ValueError, RecursionError):
    return False


class Splitter:
  """Text in, an object a line out.

  Attributes:
    before, after: line ends of the file before the first object, after the last.
    is_crowded: whether several objects share a line.
  """

  name = ''  # of a format in place of JSON

  def __init__(self, begin: int):
    """Objects are looked for from the character `begin` on."""
    self.before, self.after, self.is_crowded = 0, 0, False
    self._text, self._begin = '', begin
    self._ends = -1  # line ends since the last object began; -1 before the first
    self._decoder = codecs.getincrementaldecoder('utf-8')('surrogateescape')
    self._json = json.JSONDecoder()

  def feed(self, data: bytes, last: bool = False) -> bytes:
    """The lines that this piece of UTF-8 ends."""
    self._text += self._decoder.decode(data, last)
    text, parts, place = self._text, [], 0
    if self._begin:
      self.before = text.count('\n', 0, self._begin)
      place, self._begin = self._begin, 0
    while place < len(text):
      begin = self._skip(text, place)
      if begin == len(text):
        place = begin
        break
      end = self._object_end(text, begin)
      if end is None:
        if not last and len(text) - begin < MAX_LINE:
          place = begin
          break
        end = text.find('\n', begin)
        end = len(text) if end < 0 else end
      if self._ends >= 0:
        self.is_crowded |= self._ends == 0
        parts.append('\n' * max(1, self._ends))
      lines = (line.strip() for line in text[begin:end].split('\n'))
      parts.append(' '.join(filter(None, lines)))
      self._ends, place = text.count('\n', begin, end), end
    self._text = text[place:]
    if last and self._ends >= 0:
      parts.append('\n')
      self.after += max(0, self._ends - 1)
      self._ends = -1
    return ''.join(parts).encode('utf-8', 'surrogateescape')

  def _skip(self, text: str, place: int) -> int:
    match = _BETWEEN.match(text, place)
    end = match.end() if match else place
    ends = text.count('\n', place, end)
    if self._ends < 0:
      self.before += ends
    else:
      self._ends += ends
    return end

  def _object_end(self, text: str, begin: int) -> int | None:
    """Where the object that begins here ends; None where it does not, or is none."""
    if text[begin] != '{':
      return None
    try:
      return self._json.raw_decode(text, begin)[1]
    except (ValueError, RecursionError):
      return None
