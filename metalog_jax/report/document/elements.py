"""What a report is made of, before it is HTML or Markdown.

The sections of a report are lists of these records; `page` and `markdown` each
turn the same list into text, so that the two never say different things.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

MARK = '▲'  # behind a figure of a floor that is above the detector's


class Title(NamedTuple):
  """The head of the document; the warning stands out."""

  text: str
  subtitle: str
  warning: str = ''


class Heading(NamedTuple):
  """The head of a part."""

  text: str
  level: int = 2


class Text(NamedTuple):
  """A paragraph."""

  text: str


class Tile(NamedTuple):
  """One figure that is to be seen first."""

  label: str
  value: str
  note: str = ''


class Tiles(NamedTuple):
  """Figures side by side."""

  tiles: Sequence[Tile]


class Table(NamedTuple):
  """Cells are text; the first `words` columns are words, the others figures."""

  head: Sequence[str]
  rows: Sequence[Sequence[str]]
  groups: Sequence[tuple[str, int]] = ()  # a row above the head: (text, columns)
  caption: str = ''
  words: int = 1
  strong_first: bool = False  # the first row is what the others are held against


class Figure(NamedTuple):
  """A drawing; `draw(ax)` is called once for each theme."""

  name: str  # of the file, without .png
  caption: str
  draw: Callable[[Any], None]
  size: tuple[float, float] = (4.8, 4.0)  # inches


class Figures(NamedTuple):
  """Plots side by side, as far as the page is wide."""

  figures: Sequence[Figure]


class Row(NamedTuple):
  """An event, or a run of equal events, of a session."""

  event: int
  template: str
  repeats: int
  weight: float  # share of the session's attention; nan: unknown
  line: int | None  # of the first of them


class Gap(NamedTuple):
  """Events of a session that are not shown."""

  events: int
  weight: float


class Session(NamedTuple):
  """The events of one session, folded together unless `is_open`."""

  title: str
  facts: str
  rows: Sequence[Row | Gap]
  is_open: bool = False


class Fold(NamedTuple):
  """Blocks that are shown on demand."""

  title: str
  blocks: Sequence[Any]
