"""What varies in the messages of systems nobody has described: masks by kind.

A message becomes its *form*: ids, addresses, paths, times, sizes and numbers are
replaced by the name of their kind. Values of small vocabularies are not: a number
that is called a status, a code or a level is put aside by `values`, and words that
say how something went (`words.is_state`) are never taken for variables.

Rules keep to the dialect of `masksets` and treat all digits alike, so that messages
are masked once for all their numbers.
"""

import re
from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from metalog_jax import errors
from metalog_jax.logs import masking, masksets, words

KEPT = words.KEPT  # stands for a text put aside
VALUE = '\ue001'  # stands for a small value; in no other text
VALUE_NAME = '<VAL>'
_ZERO = bytes.maketrans(b'0123456789', b'0' * 10)

_CONSONANT = '[b-df-hj-np-tv-z0-9]'  # what Kubernetes makes names of
_NAMED = (
  '(?i:status|state|code|exit|rc|ret|retcode|errno|err|error|signal|level|severity'
  '|priority|result|returned|sqlstate)'
)
_NUMBER = r'(-?[0-9]{1,5}(?:\.[0-9]+)?|0[xX][0-9a-fA-F]{1,8})\b{end-half}'
# A number of a small vocabulary, last in the match, after what says so.
VALUES = (
  '((?:'
  # status=502, exit code: -1, returned 3, "status": 502
  rf'(?:^|[^A-Za-z0-9?&/]){_NAMED}(?:[_ -]?(?i:code|status|no|number))?"?'
  r'(?: is |[ :=(]+)"?'
  # "GET /x HTTP/1.1" 502, GET /x 502
  r'|HTTP/[0-9.]+"? '
  r'|(?:^|[^A-Za-z0-9])(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH) [^ "]+"? (?:[-=]>? )?'
  '))'
  + _NUMBER
  # ORA-00600, ERR-123, E1234
  + r'|((?:^|[ \[(=])(?:ORA|TNS|PLS|SQL|ERR|HTTP|E|W)-?)([0-9]{3,5})\b{end-half}'
)


def _adapt(rules: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
  """The general rules where every digit is 0 and a text put aside is no part."""
  changes = (
    ('(?:19|20)[0-9]{2}', '[0-9]{4}'),
    (',;]+', f',;{KEPT}{VALUE}]+'),
    (',;|]+', f',;|{KEPT}{VALUE}]+'),
    ('[a-fA-F]+[0-9][0-9a-fA-F]*', '[a-fA-F]+[0-9][0-9a-fA-F]{3,}'),  # not of db1
    (
      '(?:/[A-Za-z0-9_.+~@%$*:=?&#-]+){2,}/?',
      '(?:/[A-Za-z0-9_.+~@%$*:=?&#-]+)+/[A-Za-z0-9_.+~@%$*:=?&#-]*[A-Za-z0-9_+~@%$*-]/?',
    ),
  )
  adapted = []
  for pattern, name in rules:
    if name == 'USER':
      continue  # a word after `user`: what `grouping` finds by itself
    for old, new in changes:
      pattern = pattern.replace(old, new)
    # Hexadecimal ids look like numbers or like these, by chance: both are NUM.
    glued = pattern.startswith(masksets.LEFT + '[A-Za-z]+[0-9]+[A-Za-z]+')
    adapted.append((pattern, 'NUM' if glued else name))
  return tuple(adapted)


_WHOLE = (
  (VALUES, f'${{1}}${{3}}{VALUE}'),
  (r'\b(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH) /[^\s"]*', '${1} <PATH>'),
  (r'"[A-Za-z][A-Za-z0-9._-]*/[0-9][^"]*"', '"<AGENT>"'),
  (r'\b0{2}/[A-Z][a-z]{2}/0{4}:00:00:00(?: [+-]0{4})?', '<TIME>'),
  (r'\b(javax?|sun)\.net\.', f'${{1}}.{KEPT}net.'),  # no host of that domain
)
_EQUAL_IDS = (  # of messages whose digits are 0
  ('[0a-f]{8}-[0a-f]{4}-[0a-f]{4}-[0a-f]{4}-[0a-f]{12}',
   'a0000000-0000-0000-0000-000000000000'),
  ('0*[a-f][0a-f]{15,}', 'a000000000000000'),
)  # fmt: skip
_FIRST = (
  (
    masksets.LEFT
    + rf'(?:[a-z][a-z0-9]*-)+{_CONSONANT}{{8,10}}-{_CONSONANT}{{5}}'
    + masksets.RIGHT,
    'POD',
  ),
  (
    masksets.LEFT
    + r'[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-9a-fA-F]'
    + masksets.RIGHT,
    'ID',
  ),  # a PCI address
)
_NUMBERS = r'<(?:NUM|TIME)>(?:[:.,/+-]<(?:NUM|TIME)>)+'  # glued together
RULES = (
  *_FIRST,
  *_adapt(masksets.GENERAL['default'].rules),
  (_NUMBERS, 'NUM'),
)
# A key and its value are two tokens, so that a value never seen matches `key <*>`.
MASKS = masksets.MaskSet(RULES, delimiters=('=',), grouping='vocabulary')
UNKNOWN = {'default': MASKS, 'paper': masksets.GENERAL['paper']}  # by parser


def zero_digits(texts: pl.Series) -> pl.Series:
  """The texts with every ASCII digit as 0."""
  array = texts.rechunk().to_arrow().cast(pa.large_string())
  _, offsets, data = array.buffers()
  flat = (data.to_pybytes() if data else b'').translate(_ZERO)
  zeroed = pa.LargeStringArray.from_buffers(
    len(array), offsets, pa.py_buffer(flat), offset=array.offset
  )
  return pl.Series(texts.name, zeroed)


def equal_ids(texts: pl.Series) -> pl.Series:
  """Gives all UUIDs, and all long hexadecimal ids, one value; digits are 0 already."""
  for pattern, alike in _EQUAL_IDS:
    texts = texts.str.replace_all(pattern, alike)
  return texts


def without_marks(texts: pl.Series) -> pl.Series:
  """The texts without characters and words that mean something here."""
  return texts.str.replace_all(f'[{KEPT}{VALUE}\x1f]', '?').str.replace_all(
    '<*>', '<?>', literal=True
  )


def forms(texts: Sequence[str]) -> list[str]:
  """Masks messages whose digits are 0; VALUE_NAME stands for small values."""
  column = pl.Series('message', texts, dtype=pl.String)
  for pattern, replacement in _WHOLE:
    column = column.str.replace_all(pattern, replacement)
  masked = masking.mask(column, MASKS)
  named = masked.str.replace_all(VALUE, VALUE_NAME, literal=True)
  return named.str.replace_all(f'.{KEPT}net.', '.net.', literal=True).to_list()


def values(texts: pl.Series) -> pl.Series:
  """The numbers that `forms` replaces by VALUE_NAME, [n] lists of strings."""
  last = pl.element().str.extract('([^ :=("]+)$')
  return texts.str.extract_all(VALUES).list.eval(last)


def check_regex(flag: str, pattern: str) -> None:
  """Raises UserError for what is no regular expression or has no bounded time.

  Patterns run on an engine without back-tracking, which refuses programs above a
  size: one match takes time linear in the text, all matches its square at most, and
  messages are cut at `masking.MAX_MESSAGE` where all are looked for.
  """
  try:
    pl.Series(['']).str.replace_all(pattern, 'x')
  except pl.exceptions.PolarsError as error:
    said = re.search(r'\nerror: (.*)|error: (Compiled.*)', str(error))
    why = (said[1] or said[2]) if said else str(error)
    raise errors.UserError(
      f'{flag}: not a regular expression we can run in bounded time: {why}'
      ' (no look-around, no back-references, no huge repetition)'
    ) from None
  if pl.Series(['']).str.contains(pattern).item():
    raise errors.UserError(f'{flag}: it matches the empty text; ask for a character')


def any_of(flag: str, patterns: Sequence[str]) -> str:
  """One pattern for any of them, '' for none; raises UserError naming the flag."""
  for pattern in patterns:
    check_regex(f'{flag}={pattern}', pattern)
  return '|'.join(f'(?:{pattern})' for pattern in patterns)


def user_masks(masks: Sequence[str]) -> tuple[tuple[str, str], ...]:
  """`NAME=REGEX` texts as (regex, NAME); raises UserError naming `--mask`."""
  rules = []
  for mask in masks:
    name, equals, pattern = mask.partition('=')
    if not equals or not re.fullmatch('[A-Za-z_]+', name) or not pattern:
      raise errors.UserError(
        f'--mask={mask}: write NAME=REGEX, such as ORDER=ord-[0-9]+'
      )
    check_regex(f'--mask={mask}', pattern)
    rules.append((pattern, name.upper()))
  return tuple(rules)
