"""Reports written from templates: one HTML page, and Markdown beside figures.

A template of contents (`run.j2`) is rendered twice, with the layout and the parts of
each form, so that the two never say different things. Text is made safe where it is
printed (`_SAFE`), and nowhere else.
"""

import base64
import functools
import itertools
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
import polars as pl
from markupsafe import Markup, escape

from metalog_jax import atomic, clean
from metalog_jax.report import canvas, results

TEMPLATES = pathlib.Path(__file__).parent / 'templates'
_SPECIAL = re.compile(r'([\\`*_\[\]<>|#])')  # in Markdown


class Table(NamedTuple):
  """A table whose cells are text, with the names of its columns as head."""

  frame: pl.DataFrame  # of strings; a column of a group is named 'GROUP NAME'
  groups: Sequence[str] = ()
  words: int = 1  # the first columns hold words, the others figures
  first_is_strong: bool = False  # the first row is what the others are held against

  @property
  def head(self) -> list[tuple[str, str]]:
    """(group, name) of each column."""
    group = lambda name: next((g for g in self.groups if name.startswith(f'{g} ')), '')
    return [(group(n), n.removeprefix(f'{group(n)} ')) for n in self.frame.columns]

  @property
  def spans(self) -> list[tuple[str, int]]:
    """(group, number of columns) of the row above the head."""
    runs = itertools.groupby(group for group, _ in self.head)
    return [(group, len(list(run))) for group, run in runs]

  @property
  def marked(self) -> list[str]:
    """First cells of the rows that have a mark."""
    return [row[0] for row in self.frame.rows() if results.MARK in ''.join(row[1:])]


def table(rows: Sequence[Mapping[str, str]], **options: Any) -> Table:
  """A table of rows that all have the same columns; `options` are fields of `Table`."""
  valid = lambda text: text.encode('utf-8', 'backslashreplace').decode()
  columns = {valid(name): [valid(row[name]) for row in rows] for name in rows[0]}
  return Table(pl.DataFrame(columns), **options)


def save(
  out: str | os.PathLike,
  template: str,
  figures: Mapping[str, Sequence[canvas.Figure]],
  folder: pathlib.Path = TEMPLATES,
  **context: Any,
) -> pathlib.Path:
  """Writes report.html, report.md and figures/*.png; returns the path of report.html.

  Args:
    out: folder.
    template: of the contents, with the blocks `title`, `about` and `body`.
    figures: of each part of the report.
    folder: of the template.
    context: variables of the template.
  """
  out = pathlib.Path(out)
  images = {
    figure.name: (canvas.png(figure), canvas.png(figure, dark=True))
    for part in figures.values()
    for figure in part
  }
  for name, (light, _) in images.items():
    with atomic.writing(out / 'figures' / f'{name}.png') as path:
      path.write_bytes(light)
  context |= {'figures': figures, 'images': images}
  for form in ('md', 'html'):
    text = render(template, form, folder, **context)
    atomic.write_text(out / f'report.{form}', text)
  return out / 'report.html'


def render(
  template: str, form: str, folder: pathlib.Path = TEMPLATES, **context: Any
) -> str:
  """A template as text; `form` is `html`, `md`, or `txt` for a terminal."""
  values = {'figures': {}, 'images': {}, **context}
  values |= {'layout': f'page.{form}.j2', 'parts': f'parts.{form}.j2'}
  text = _environment(form, folder).get_template(template).render(values)
  if form != 'html':
    text = '\n'.join(line.rstrip(' \t') for line in text.split('\n'))
  return re.sub(r'\n{3,}', '\n\n', text).strip() + '\n'


@functools.cache
def _environment(form: str, folder: pathlib.Path) -> jinja2.Environment:
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader([folder, TEMPLATES]),
    autoescape=form != 'txt',
    finalize=lambda text: text if isinstance(text, Markup) else _SAFE[form](text),
    undefined=jinja2.ChainableUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.globals |= {'MARK': results.MARK, 'results': results, 'table': table}
  filters: dict[str, Any] = {
    'anchor': lambda text: re.sub(r'[^a-z0-9]+', '-', text.lower()).strip('-'),
    'base64': lambda png: Markup(base64.b64encode(png).decode()),
    'breakable': _breakable,
    'code': lambda text: Markup(clean.text(text)),
    'fence': _fence,
    'headings': lambda body: re.findall('<h2 id="([^"]*)">([^<]*)</h2>', body),
  }
  environment.filters |= filters
  return environment


def _markdown(text: str) -> Markup:
  """Text that Markdown shows as it is."""
  return Markup(_SPECIAL.sub(r'\\\1', clean.text(text)).replace('&', '&amp;'))


# What is done to all text that a template prints; Jinja escapes it then.
_SAFE: dict[str, Callable[[Any], Any]] = {
  'html': clean.text,
  'md': _markdown,
  'txt': clean.ascii_text,
}


def _breakable(text: str) -> Markup:
  """Names of settings and floors may break behind an underscore or a dot."""
  return Markup(re.sub('([_.])', r'\1<wbr>', str(escape(clean.text(text)))))


def _fence(texts: Sequence[str]) -> Markup:
  """Backticks that end no code block early: more of them than any text has."""
  longest = max(
    (len(run) for text in texts for run in re.findall('`+', text)), default=0
  )
  return Markup('`' * max(3, longest + 1))
