"""Findings for people and programs: terminal, JSON lines, a folder with a page."""

import itertools
import pathlib
import shutil
import sys
import textwrap
from typing import Any

from metalog_jax import atomic, clean, errors, lazy
from metalog_jax.scanning import findings

pages = lazy.module('metalog_jax.report.pages')

TEMPLATES = pathlib.Path(__file__).parent / 'templates'
FILES = ('findings.jsonl', 'windows.jsonl', 'scan.json', 'report.html')
_COLOURS = {'critical': '1;31', 'error': '31', 'warning': '33', '': '36'}
_MOST_KNOWN = 5  # severe findings of the baseline that a terminal lists
_BARS = 120  # columns of the time line


def terminal(found: Any, top: int, colour: bool, width: int | None = None) -> str:
  """The first findings for a terminal; what is of logs cannot drive it."""
  width = max(60, min(width or shutil.get_terminal_size().columns, 160))
  lines = [clean.text(_about(item)) for item in found.summary['inputs']]
  notes = [clean.text(f'note: {text}', 600) for text in found.warnings]
  lines += [_painted(note, '2', colour) for note in notes]
  shown = [item for item in found if item.state == 'active'][:top]
  for rank, item in enumerate(shown, 1):
    lines += finding(item, rank, colour, width)
  lines += _known(found, width)
  lines += ['', _total(found, len(shown))]
  return '\n'.join(lines)


def _known(found: Any, width: int) -> list[str]:
  """Severe records that the baseline has too, a line each."""
  items = [
    item
    for item in found
    if item.state == 'known' and item.reason == findings.IN_BASELINE
  ]
  if not items:
    return []
  lines = ['', 'known and severe, also in the baseline:']
  for item in items[:_MOST_KNOWN]:
    count = f'{item.count:,} ({item.expected:,.0f} expected)'
    where = f'{pathlib.Path(item.first.file).name}:{item.first.line}'
    line = f'    {item.severity:8} {count:24} {where}  {item.template}'
    lines.append(clean.text(line)[:width])
  return lines


def _fitted(template: str, width: int) -> str:
  """The template in so many characters: of what is too long, `[value]` stays whole."""
  text, mark, value = template.rpartition(' [')
  if len(template) <= width or not value.endswith(']') or len(value) > width // 2:
    return template[:width]
  return f'{text[: width - len(value) - 5]}...{mark}{value}'


def finding(item: Any, rank: int, colour: bool, width: int) -> list[str]:
  """One finding as lines for a terminal."""
  where = f'{pathlib.Path(item.first.file).name}:{item.first.line}'
  head = f'{rank:3} {item.kind:7} {item.severity:8} '
  facts = f'{(item.first.time or "").replace("T", " ")} {where}  {item.finding_id}'
  indent, template = ' ' * 4, _fitted(clean.text(item.template), width - 4)
  lines = ['', _painted(head, _COLOURS[item.severity], colour) + clean.text(facts)]
  lines.append(indent + _painted(template, '1', colour))
  lines += textwrap.wrap(
    clean.text(item.why), width, initial_indent=indent, subsequent_indent=indent
  )
  for sample in item.samples[:3]:
    text = sample['text'].split('\n')
    more = f'  (+{clean.counted(len(text) - 1, "line")})' if len(text) > 1 else ''
    line = f'{indent}| {sample["line"]}: {text[0]}'
    line = clean.text(line)[: width - len(more)] + more
    lines.append(_painted(line, '2', colour))
  return lines


def _painted(text: str, code: str, colour: bool) -> str:
  return f'\x1b[{code}m{text}\x1b[0m' if colour else text


def json_lines(found: Any) -> str:
  """One finding a line, as in findings.jsonl."""
  return ''.join(atomic.to_json(item.as_dict()) + '\n' for item in found)


def write(found: Any, out: str) -> pathlib.Path:
  """Writes findings.jsonl, windows.jsonl, scan.json, report.html; the report's path."""
  folder = pathlib.Path(out)
  if folder.is_file():
    raise errors.UserError(f'{out} is a file: give --out a folder')
  atomic.check_folder(folder)
  atomic.write_text(folder / 'findings.jsonl', json_lines(found))
  with atomic.writing(folder / 'windows.jsonl') as partial, partial.open('wb') as file:
    for row in itertools.chain(found.session_rows(), found.window_rows):
      line = atomic.to_json(row) + '\n'
      file.write(line.encode('utf-8', 'backslashreplace'))
  atomic.write_text(folder / 'report.html', report(found))
  atomic.write_json(folder / 'scan.json', found.summary)
  return folder / 'report.html'


def report(found: Any) -> str:
  """report.html: one file without scripts."""
  return pages.render('scan.j2', 'html', TEMPLATES, every=[], **_context(found))


def notebook(found: Any) -> str:
  """The findings as a table for a notebook."""
  return pages.render('notebook.j2', 'html', TEMPLATES, **_context(found))


def use_colour() -> bool:
  """Whether what is printed goes to a terminal."""
  return bool(sys.stdout and sys.stdout.isatty())


def _context(found: Any) -> dict[str, Any]:
  counts: dict[str, int] = {}
  for item in found:
    counts[item.kind] = counts.get(item.kind, 0) + 1
  rows = found.window_rows
  number = {row['id']: i for i, row in enumerate(rows)}
  files = [item['path'] for item in found.summary['inputs'] if item.get('records')]
  return {
    'found': found,
    'summary': found.summary,
    'files': [pathlib.Path(path).name for path in files],
    'inputs': [_about(item) for item in found.summary['inputs']],
    'kinds': counts,
    'rows': rows,
    'bars': _bars(rows),
    'sparks': [_spark(item, number, len(rows)) for item in found],
    'total': _total(found, len(found)),
    'basename': lambda path: pathlib.Path(path).name,
  }


def _bars(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """The time line: records and findings of so many windows at once."""
  step = max(1, -(-len(rows) // _BARS))
  parts = [rows[i : i + step] for i in range(0, len(rows), step)]
  most = max((sum(row['records'] for row in part) for part in parts), default=1)
  return [
    {
      'height': max(2, round(60 * sum(row['records'] for row in part) / most)),
      'hot': any(row['anomalous'] for row in part),
      'title': f'{part[0]["first"]["time"] or part[0]["id"]}: '
      f'{clean.counted(sum(row["records"] for row in part), "record")}',
    }
    for part in parts
  ]


def _spark(item: Any, number: dict[str, int], size: int) -> list[dict[str, Any]]:
  """How often its template comes along the log, and which places are the finding's."""
  bins = len(item.histogram) or 60
  hot = {number[x] * bins // max(size, 1) for x in item.windows if x in number}
  most = max(item.histogram, default=0)
  heights = [16 * n / most for n in item.histogram] if most else [4.0] * bins
  absent = item.kind in findings.ABSENT  # where nothing is, the whole place is marked
  return [
    {
      'x': x,
      'height': 16 if absent and x in hot else round(max(h, 0.6 * (x in hot)), 2),
      'hot': x in hot,
      'faint': absent and x in hot,
    }
    for x, h in enumerate(heights)
    if h or x in hot
  ]


def _about(item: dict[str, Any]) -> str:
  """One input in words."""
  if item.get('skipped') and not item.get('records'):
    return f'{item["path"]}: skipped, {item["skipped"]}'
  return (
    f'{item["path"]}: {clean.counted(item["lines"], "line")}, '
    f'{clean.counted(item["records"], "record")}; {item["format"]}, '
    f'{item["encoding"]}; {item["fitted"]:.1%} fit, {item["times"]:.1%} with a time'
  )


def _total(found: Any, shown: int) -> str:
  summary = found.summary
  states = [item.state for item in found]
  hidden = ', '.join(
    f'{states.count(name)} {name}' for name in ('known', 'suppressed') if name in states
  )
  text = clean.counted(states.count('active'), 'finding')
  text += f' ({hidden})' if hidden else ''
  if states.count('active') > shown:
    text += f', {shown} shown (--top)'
  return (
    f'{text}; {clean.counted(summary["templates"], "template")}, '
    f'{clean.counted(summary["windows"], "window")} of {summary["window"]}; '
    f'{summary["seconds"]:.1f} s'
  )
