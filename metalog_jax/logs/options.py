"""What determines the content of a System folder: the flags of `prepare`, checked."""

import dataclasses
import json
import typing
from typing import Any, Literal

from metalog_jax import errors
from metalog_jax.logs import budgets, formats, masksets
from metalog_jax.logs import sessions as sessions_lib

Mining = Literal['canonical', 'arrival']
Parser = Literal['default', 'paper']
MINING, PARSERS = typing.get_args(Mining), typing.get_args(Parser)


@dataclasses.dataclass(frozen=True)
class Options:
  """What determines the content of a System folder; kept in its manifest."""

  system: str
  logs: tuple[str, ...] = ()  # files, folders, patterns; '-' is standard input
  labels: str = ''
  sessions: tuple[str, ...] = ()  # of --system=jsonl
  templates: str = ''  # of --system=jsonl: event_id,template
  format: str = ''  # of --system=custom
  time_format: str = ''  # likewise
  group: str = ''  # what lines are grouped by; '': the format's own choice
  window: str = ''  # '': the format's own choice
  max_events: int = 0
  mining: Mining = 'canonical'
  parser: Parser = 'default'
  fit: str = 'all'
  max_bad_lines: str = '5%'
  keep_lines: bool = False

  def __post_init__(self):
    """Raises ValueError for what can be seen to be wrong without reading a log."""
    errors.check_choices(self, '--')
    if self.system not in formats.SYSTEMS:
      raise errors.unknown_choice('--system', self.system, formats.SYSTEMS)
    files, custom = self.system == 'jsonl', self.system == 'custom'
    for needed, name, what in (
      (files, 'sessions', 'PATH'),
      (not files, 'logs', 'PATH'),
      (custom, 'format', 'REGEX'),
    ):
      if needed and not getattr(self, name):
        raise errors.UserError(f'--system={self.system} needs --{name}={what}')
    for name, fits in (
      *((name, files) for name in ('sessions', 'templates')),
      *((name, not files) for name in ('logs', 'labels', 'group', 'window')),
      *((name, custom) for name in ('format', 'time_format')),
    ):
      if getattr(self, name) and not fits:
        raise errors.UserError(f'--{name} means nothing to --system={self.system}')
    if self.max_events < 0:
      raise errors.UserError(f'--max_events={self.max_events}: give 0 (all) or more')
    budgets.parse(self.max_bad_lines)
    if self.fit != 'all' and not budgets.parse(self.fit):
      raise errors.UserError(f'--fit={self.fit} leaves no line to fit templates on')

  def line_format(self) -> formats.Format:
    """How a raw line is read."""
    if self.system == 'custom':
      return formats.custom(self.format, self.time_format)
    return formats.FORMATS[self.system]

  def cut(self) -> sessions_lib.Cut:
    """How lines are cut into sessions; UserError for neither names nor windows."""
    form = self.line_format()
    window = self.window or form.window
    kept = dict(max_events=self.max_events, keep_lines=self.keep_lines)
    cut = sessions_lib.Cut.parse(window, **kept)
    if not form.keys(self.group) and not cut.windows:
      raise errors.UserError(
        f'--system={self.system} --group={self.group or "none"} has no sessions by '
        'name: give --window in lines (120) or time (10m)'
      )
    return cut

  def maskset(self) -> masksets.MaskSet:
    """What is masked in a line, and how Drain then groups it."""
    return self.line_format().masks[self.parser]

  def as_json(self) -> dict[str, Any]:
    """As a manifest keeps them."""
    return json.loads(json.dumps(dataclasses.asdict(self)))
