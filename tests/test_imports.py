"""Imports go downwards, between rooms and inside them; host rooms never import jax."""

import ast
import graphlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
LEVELS = [
  ['types', 'errors', 'clean'],
  ['atomic', 'flags', 'lazy', 'memory'],
  ['machine'],
  ['simulation'],
  ['logs'],
  ['embeddings'],
  ['nets'],
  ['meta'],
  ['batches'],
  ['evidence'],
  ['training'],
  ['detectors'],
  ['evaluation'],
  ['runs'],
  ['beam'],
  ['report'],
  ['scanning'],
  ['api'],
  ['cli'],
  ['__main__'],
  ['experiments'],
]
LEVEL = {room: i for i, rooms in enumerate(LEVELS) for room in rooms}
HOST = ('logs', 'embeddings', 'batches', 'evidence', 'scanning')
DEVICE = {  # in host rooms, and imported inside functions that compute alone
  'metalog_jax/embeddings/encoder.py',
  'metalog_jax/embeddings/texts.py',
}
FILES = sorted(ROOT.glob('metalog_jax/**/*.py')) + sorted(
  ROOT.glob('experiments/**/*.py')
)


def room_of(path: pathlib.Path) -> str:
  parts = path.relative_to(ROOT).with_suffix('').parts
  return 'experiments' if parts[0] == 'experiments' else parts[1]


def imported(path: pathlib.Path) -> set[str]:
  """Every dotted name that the file imports, in functions and lazily as well."""
  names = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      names |= {f'{node.module}.{alias.name}' for alias in node.names}
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == 'lazy.module':
      names.add(ast.literal_eval(node.args[0]))
  return names


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path):
  room = room_of(path)
  if room == '__init__':
    return
  for name in imported(path):
    parts = name.split('.')
    if parts[0] == 'experiments':
      assert room == 'experiments', f'{path} imports {name}'
    elif parts[0] == 'metalog_jax' and parts[1:]:
      assert LEVEL[parts[1]] <= LEVEL[room], f'{path} imports {name} from above'


def test_no_file_imports_itself_through_others():
  """No circles, inside rooms as well."""
  name_of = lambda path: '.'.join(path.relative_to(ROOT).with_suffix('').parts)
  names = {name_of(path) for path in FILES}
  of = lambda path: {part for x in imported(path) for part in (x, x.rpartition('.')[0])}
  graph = {name_of(path): of(path) & names for path in FILES}
  list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize(
  'path',
  [p for p in FILES if room_of(p) in HOST],
  ids=lambda p: str(p.relative_to(ROOT)),
)
def test_host_rooms_have_no_jax(path):
  if str(path.relative_to(ROOT)) not in DEVICE:
    assert not {n.split('.')[0] for n in imported(path)} & {'jax', 'flax', 'optax'}


def test_beam_is_imported_in_its_room_alone():
  """It has an environment of its own: nothing else may need it."""
  users = [path for path in FILES if any('apache_beam' in n for n in imported(path))]
  assert users and {room_of(path) for path in users} == {'beam'}


def test_settings_are_read_without_jax():
  """Flags name every detector's settings: `--help` must not wait for jax."""
  code = (
    'import sys; import metalog_jax.embeddings.sources, metalog_jax.detectors.registry;'
    "sys.exit('jax' in sys.modules)"
  )
  assert subprocess.run([sys.executable, '-c', code], cwd=ROOT).returncode == 0


def test_detectors_do_not_import_each_other():
  """What two methods share has a file of its own."""
  registry = imported(ROOT / 'metalog_jax/detectors/registry.py')
  room = 'metalog_jax.detectors.'
  methods = {f'{room}floors', *(name for name in registry if name.startswith(room))}
  for path in (ROOT / 'metalog_jax/detectors').glob('*.py'):
    if room + path.stem in methods:
      assert not imported(path) & (methods - {room + path.stem})
