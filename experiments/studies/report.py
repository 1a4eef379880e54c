"""meta_gradients.json, meta_gradients.md and the figures, from what was found."""

import json
import os
import pathlib
from typing import Any

from experiments.studies import figures, tables
from metalog_jax.meta import gradients
from metalog_jax.report.document import canvas, elements, markdown

NAME = 'meta_gradients'


def blocks_of(found: dict[str, Any]) -> list[Any]:
  """The report; sections that nothing was measured for are left out."""
  settings = found['settings']
  content: list[Any] = [
    elements.Title(
      'Ways to take the meta-gradient',
      f'{settings["detector"]}, {" + ".join(settings["source"]) or "no source"} → '
      f'{settings["target"] or "no target"}; inner rate {settings["inner_lr"]:g}, '
      f'{settings["inner_steps"]} inner steps, seed {settings["seed"]}; '
      f'{settings["tasks"]} tasks.',
    )
  ]
  if found['along']:
    content += [elements.Heading('Along training'), tables.along(found['along'])]
    content.append(elements.Figures(_along_figures(found['along'])))
  if found['grid']:
    content.append(elements.Heading('Over the inner loop'))
    for way in found['grid'][0]['ways']:
      content.append(tables.grid(found['grid'], way))
      content.append(elements.Figures(_grid_figures(found['grid'], way)))
  if found['costs']:
    content += [
      elements.Heading('What a meta-step costs'),
      tables.costs(found['costs']),
    ]
    content.append(elements.Figures(_cost_figures(found['costs'])))
  if found['outcome']:
    content += [elements.Heading('In the end'), tables.outcome(found['outcome'])]
  return content


def write(found: dict[str, Any], out: pathlib.Path) -> pathlib.Path:
  """Writes the JSON, and the rest as far as matplotlib is there to draw it."""
  (out / 'figures').mkdir(parents=True, exist_ok=True)
  write_json(found, out)
  content = blocks_of(found)
  drawn = [f for b in content if isinstance(b, elements.Figures) for f in b.figures]
  images = []
  try:
    for figure in drawn:
      _replace(
        out / 'figures' / f'{figure.name}.png', canvas.png(figure.draw, figure.size)
      )
      images.append(figure.name)
  except canvas.PlotsMissing as missing:
    print(f'no plots: {missing}')
  path = out / f'{NAME}.md'
  _replace(path, markdown.render(content, images).encode())
  return path


def write_json(found: dict[str, Any], out: pathlib.Path) -> None:
  text = json.dumps(found, indent=1, allow_nan=False) + '\n'
  _replace(out / f'{NAME}.json', text.encode())


def console(found: dict[str, Any]) -> str:
  """All tables as plain text."""
  lines = []
  for block in blocks_of(found):
    if isinstance(block, elements.Title):
      lines.append(tables.ascii_of(f'{block.text}: {block.subtitle}'))
    elif isinstance(block, elements.Heading):
      lines += ['', block.text]
    elif isinstance(block, elements.Table):
      lines += [tables.text(block), tables.ascii_of(block.caption)]
  return '\n'.join(lines)


def _along_figures(found: list[dict[str, Any]]) -> list[elements.Figure]:
  ways = [way for way in found[0]['ways'] if way not in gradients.EXACT]
  draw = lambda measure: lambda ax: figures.along(ax, found, ways, measure)
  return [
    elements.Figure('cosine', 'Cosine along training', draw('cosine'), (7, 5)),
    elements.Figure(
      'difference', 'Relative difference along training', draw('difference'), (7, 5)
    ),
  ]


def _grid_figures(found: list[dict[str, Any]], way: str) -> list[elements.Figure]:
  places = list(dict.fromkeys(cell['at'] for cell in found))
  made = []
  for at in places:
    cells = [cell for cell in found if cell['at'] == at]
    draw = lambda ax, cells=cells: figures.grid(ax, cells, way)
    name = f'grid {way} {at}'.replace(',', '').replace(' ', '_')
    made.append(elements.Figure(name, f'{way} at {at}', draw, (5.5, 4)))
  return made


def _cost_figures(found: dict[str, dict[str, Any]]) -> list[elements.Figure]:
  bars = lambda *what: lambda ax: figures.costs(ax, found, *what)
  time = bars('seconds_per_step', 1e3, 'ms a meta-step')
  memory = bars('temporary_bytes', 2**-20, 'MiB of temporary memory')
  return [
    elements.Figure('cost_time', 'Time of a meta-step', time, (6, 4.5)),
    elements.Figure('cost_memory', 'Temporary memory', memory, (6, 4.5)),
  ]


def _replace(path: pathlib.Path, content: bytes) -> None:
  temporary = path.with_name(path.name + '.tmp')
  temporary.write_bytes(content)
  os.replace(temporary, path)
