"""Runs the commands of README.md and of these pages: `make docs-check`.

Blocks of `sh` and `python` run page by page in a scratch folder, which holds small
simulated logs under the names of the public data sets. After `<!-- flags only -->`
stands a block that would take hours, or data that are not here: the flags of its
commands are parsed and checked, and nothing is run. Commands that install, build or
reach other machines are left to `make` and are listed.

  python docs/check.py [PAGE ..]
"""

import importlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
BLOCK = re.compile(
  r'^(?P<only><!-- flags only -->\n+)?```(?P<language>sh|python)\n(?P<text>.*?)^```$',
  re.MULTILINE | re.DOTALL,
)
ELSEWHERE = (
  'pip ',
  'git ',
  'make ',
  'gcloud ',
  'sbatch ',
  'experiments/launch/',
  '.ci/',
)
LOGS = """
import pathlib, shutil
import metalog_jax as ml
for system, name in (('blockstore', 'HDFS.log'), ('supercomputer', 'BGL.log')):
  ml.simulate(system=system, sessions=400, anomalies=0.1, seed=0, out=f'raw/{system}')
  shutil.copy(f'raw/{system}/{system}.log', name)
shutil.copy('raw/blockstore/anomaly_label.csv', 'anomaly_label.csv')
lines = pathlib.Path('BGL.log').read_text().splitlines(keepends=True)
pathlib.Path('new.log').write_text(''.join(lines[-500:]))
app = [f'2026-01-01 00:{i // 60:02}:{i % 60:02} INFO request {i} served\\n'
       for i in range(600)]
pathlib.Path('good.log').write_text(''.join(app))
for i in range(400, 420):
  app[i] = app[i].replace('INFO request', 'ERROR no connection to db01 for request')
for name in ('app.log', 'today.log'):
  pathlib.Path(name).write_text(''.join(app))
pathlib.Path('incidents.csv').write_text('2026-01-01 00:06:40,2026-01-01 00:07:00\\n')
"""


def main(pages: list[str]) -> int:
  """Checks the pages, all by default; returns 1 if a command fails."""
  paths = [pathlib.Path(page).resolve() for page in pages]
  paths = paths or [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
  failed = 0
  for path in paths:
    blocks = list(BLOCK.finditer(path.read_text()))
    if blocks:
      with tempfile.TemporaryDirectory(prefix='docs_check_') as scratch:
        failed += _check_page(path, blocks, pathlib.Path(scratch))
  return min(failed, 1)


def _check_page(path: pathlib.Path, blocks, scratch: pathlib.Path) -> int:
  failed = 0
  if not all(block['only'] for block in blocks):
    subprocess.run([sys.executable, '-c', LOGS], cwd=scratch, env=_env(), check=True)
  stubs = '#!/bin/sh\nexec "{python}" "{file}" --parse {name} "$@"\n'
  _write_programs(scratch / 'stubs', stubs, ('metalog', 'python'))
  _write_programs(
    scratch / 'bin', '#!/bin/sh\nexec "{python}" -m metalog_jax "$@"\n', ('metalog',)
  )
  script = ''
  for block in blocks:
    line = path.read_text()[: block.start('text')].count('\n') + 1
    script = script + block['text'] if block['language'] == 'python' else ''
    result = _run(block, script, scratch)
    state = 'ok' if result.returncode == 0 else 'FAILED'
    print(f'{path.relative_to(ROOT)}:{line}: {state}', flush=True)
    if result.returncode:
      failed += 1
      print(result.stdout[-2000:], result.stderr[-2000:])
  return failed


def _run(
  block: re.Match, script: str, scratch: pathlib.Path
) -> subprocess.CompletedProcess:
  text = block['text']
  if block['language'] == 'python':
    command = [sys.executable, '-c', script]  # with the blocks right before it
  else:
    lines = text.replace('\\\n', ' ').splitlines()
    elsewhere = [line for line in lines if line.startswith(ELSEWHERE)]
    for line in elsewhere:
      print(f'  left to make: {line}')
    text = '\n'.join(line for line in lines if line not in elsewhere)
    command = ['bash', '-euo', 'pipefail', '-c', text]
  env = _env(scratch / ('stubs' if block['only'] else 'bin'))
  return subprocess.run(command, cwd=scratch, env=env, capture_output=True, text=True)


def _env(first: pathlib.Path | None = None) -> dict[str, str]:
  folders = [first, pathlib.Path(sys.executable).parent]
  path = os.pathsep.join([*(str(f) for f in folders if f), os.environ['PATH']])
  return os.environ | {'PATH': path, 'PYTHONPATH': str(ROOT)}


def _write_programs(folder: pathlib.Path, text: str, names: tuple[str, ...]) -> None:
  """Scripts of these names, to come first on the PATH."""
  folder.mkdir()
  for name in names:
    program = folder / name
    program.write_text(text.format(python=sys.executable, file=__file__, name=name))
    program.chmod(0o755)


def _parse(kind: str, arguments: list[str]) -> None:
  """Parses the flags of one command; a SystemExit or an error if they are wrong."""
  from metalog_jax.cli import options

  if kind == 'python':
    module, arguments = arguments[1], arguments[2:]
    if arguments[:1] and '=' in arguments[0] and not arguments[0].startswith('--'):
      importlib.import_module(module)  # takes no flags
      return
  else:
    module, arguments = f'metalog_jax.cli.{arguments[0]}', arguments[1:]
  program, name = importlib.import_module(module), module.rsplit('.', 1)[1]
  if not hasattr(program, 'FLAGS'):  # the thin name of a program of the library
    program = importlib.import_module(f'metalog_jax.cli.{name}')
  options.parse(program, name, options.expand(arguments))


if __name__ == '__main__':
  if sys.argv[1:2] == ['--parse']:
    _parse(sys.argv[2], sys.argv[3:])
  else:
    sys.exit(main(sys.argv[1:]))
