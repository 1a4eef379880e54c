"""Runs docs/tutorials/*.py and writes a page of each, with what it prints and draws.

Tutorials are scripts of cells (`# %%` and `# %% [markdown]`, as editors and jupytext
read them); their assertions make them tests. `make docs` runs those that have changed:

  python docs/tutorials.py [NAME ..]
"""

import ast
import contextlib
import io
import pathlib
import re
import subprocess
import sys
import time
from typing import Any

FOLDER = pathlib.Path(__file__).resolve().parent / 'tutorials'
PAGES = FOLDER.parent / '_tutorials'
CELL = re.compile(r'^# %%(?P<text> \[markdown\])?.*\n', re.MULTILINE)


def build(names: list[str]) -> None:
  """Runs the tutorials of these names, each in a process of its own."""
  for name in names:
    print(f'tutorial {name}', flush=True)
    subprocess.run([sys.executable, __file__, '--run', name], check=True)


def changed() -> list[str]:
  """Names of the tutorials whose page is missing or older than the script."""
  page = lambda script: PAGES / f'{script.stem}.md'
  is_new = lambda s: page(s).exists() and page(s).stat().st_mtime > s.stat().st_mtime
  return [script.stem for script in sorted(FOLDER.glob('*.py')) if not is_new(script)]


def run(name: str) -> None:
  """Runs one tutorial and writes its page."""
  import matplotlib

  matplotlib.use('agg')
  start = time.perf_counter()
  source = (FOLDER / f'{name}.py').read_text()
  cuts = [*CELL.finditer(source)]
  ends = [cut.start() for cut in cuts[1:]] + [len(source)]
  page: list[str] = []
  room: dict[str, Any] = {'__name__': '__tutorial__'}
  PAGES.mkdir(exist_ok=True)
  for i, (cut, end) in enumerate(zip(cuts, ends, strict=True)):
    text = source[cut.end() : end].strip('\n')
    if cut['text']:
      page.append(re.sub(r'^# ?', '', text, flags=re.MULTILINE))
      continue
    page.append(f'```{{code-block}} python\n{text}\n```')
    line = source[: cut.end()].count('\n')  # so that errors name the script's line
    path = str(FOLDER / f'{name}.py')
    tree = ast.parse('\n' * line + text, path)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    try:
      with contextlib.redirect_stdout(printed):
        exec(compile(tree, path, 'exec'), room)
        if last is not None:  # a notebook shows its value
          value = eval(compile(ast.Expression(last.value), path, 'eval'), room)
    except Exception:
      print(printed.getvalue())
      raise
    if printed.getvalue():
      page.append(f'```{{code-block}} text\n{printed.getvalue().rstrip()}\n```')
    if table := getattr(value, '_repr_html_', lambda: None)():
      page.append(f'```{{raw}} html\n{table}\n```')
    page += _figures(f'{name}_{i}', value)
  seconds = time.perf_counter() - start
  page.append(f'*Run in {seconds:.0f} s; the script is `docs/tutorials/{name}.py`.*')
  (PAGES / f'{name}.md').write_text('\n\n'.join(page) + '\n')
  print(f'  {seconds:.0f} s')


def _figures(stem: str, value: Any) -> list[str]:
  """Saves a cell's value and the open figures; a line of the page for each figure."""
  from matplotlib import figure, pyplot

  shown = {number: pyplot.figure(number) for number in pyplot.get_fignums()}
  if isinstance(value, figure.Figure) and value not in shown.values():
    shown[0] = value
  lines = []
  for number, drawn in shown.items():
    file = f'{stem}_{number}.png'
    drawn.savefig(PAGES / file, dpi=110, bbox_inches='tight')
    lines.append(f'![figure]({file})')
  pyplot.close('all')
  return lines


if __name__ == '__main__':
  if sys.argv[1:2] == ['--run']:
    run(sys.argv[2])
  else:
    build(sys.argv[1:] or [script.stem for script in sorted(FOLDER.glob('*.py'))])
