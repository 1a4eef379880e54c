"""What is masked in a system's lines, and how Drain then groups them.

`PRESETS[system][parser]` is a `MaskSet`; parser is `default` (groups best) or
`paper` (MetaLog's released configuration).

Patterns are Python regular expressions, applied in order. To be runnable by the
vectorized engine as well they keep to a dialect (checked by `masking.compile_rules`):
- `(?<![A-Za-z0-9])` and `(?![A-Za-z0-9])` are the only look-arounds, besides one
  `(?<=literal)` at the very start; no back-references;
- digits are `[0-9]`, never `\\d`, and words `[A-Za-z0-9_]`, never `\\w`, because the
  engines disagree about them outside ASCII;
- no pattern matches the empty string.
"""

import dataclasses

LEFT = '(?<![A-Za-z0-9])'
RIGHT = '(?![A-Za-z0-9])'


@dataclasses.dataclass(frozen=True)
class MaskSet:
  """Masks and Drain settings; every field is part of the template hash."""

  rules: tuple[tuple[str, str], ...]  # (pattern, mask name), in order
  prefix: str = '<'
  suffix: str = '>'
  sim_th: float = 0.4  # least share of equal tokens to join a template
  depth: int = 4  # depth - 3 leading tokens must agree
  max_children: int = 100  # of a node of Drain's tree
  max_clusters: int | None = None  # least recently used go first; arrival mode only
  delimiters: tuple[str, ...] = ()  # split tokens at these too
  numeric_tokens: bool = True  # tokens holding a digit are not used as a path

  @property
  def wildcard(self) -> str:
    return f'{self.prefix}*{self.suffix}'


QUAD = r'(?:[0-9]{1,3}\.){3}[0-9]{1,3}'


def _word(pattern: str) -> str:
  """The pattern where it neither follows nor precedes a letter or digit."""
  return LEFT + pattern + RIGHT


_HDFS_PAPER = (
  (r'blk_(?:|-)[0-9]+', 'ID'),
  (_word(QUAD + r':[0-9]+'), 'IPANDPORT'),
  (_word(QUAD), 'IP'),
  (_word(r'(?:[0-9a-f]{6,} ?){3,}'), 'SEQ'),
  (_word(r'(?:[0-9A-F]{4} ?){4,}'), 'SEQ'),
  (_word(r'0x[a-f0-9A-F]+'), 'HEX'),
  (_word(r'[-+]?[0-9]+'), 'NUM'),
  (r'(?<=executed cmd )".+?"', 'CMD'),
)

_HDFS = (
  (r'blk_-?[0-9]+', 'BLOCK'),
  (r'/?' + _word(QUAD) + r'(?::[0-9]+)?', 'IP'),
  (r'(?:/[A-Za-z0-9_.+-]+){2,}', 'PATH'),
  (_word(r'[-+]?[0-9]+'), 'NUM'),
)

PRESETS: dict[str, dict[str, MaskSet]] = {
  'hdfs': {
    'default': MaskSet(_HDFS),
    'paper': MaskSet(_HDFS_PAPER, '[', ']', sim_th=0.5, max_clusters=1024),
  },
}
