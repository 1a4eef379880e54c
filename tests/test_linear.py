"""No line costs more than its length, whatever expression of ours reads it.

The expressions are those that stand in the modules, so that a new one is among them
by itself: compiled ones with the methods that are called on them, patterns given to
`re`, and all texts that the engine of polars takes.
"""

import ast
import dataclasses
import functools
import importlib
import inspect
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from types import ModuleType
from typing import Any

import polars as pl
import pytest

import metalog_jax
from metalog_jax import errors
from metalog_jax.logs import backtracking, choosing, masking, messages, systems
from tests import adversary
from tests.logs import test_masking

_CALLS = ('search', 'match', 'fullmatch', 'sub', 'split', 'findall', 'finditer')
# Patterns that are no constants, and how they are tested.
_NAMED = {
  'f.line', 'token', '_TOKENS[kind]', 'key.pattern',  # texts of the modules
  'pattern',  # of a mask set
  "f'(?i:{names})'",  # units of numbers; of a word
}  # fmt: skip


def modules() -> Iterator[ModuleType]:
  for info in pkgutil.walk_packages(metalog_jax.__path__, 'metalog_jax.'):
    if info.name.endswith('__main__') or '.beam' in info.name:
      continue  # another environment; beam calls what is here
    yield importlib.import_module(info.name)


def inside(value: Any, kind: type, depth: int = 0) -> Iterator[Any]:
  """All of a kind in containers and records."""
  if isinstance(value, kind):
    yield value
  elif depth < 6 and isinstance(value, dict):
    yield from inside([*value, *value.values()], kind, depth + 1)
  elif depth < 6 and isinstance(value, tuple | list | set | frozenset):
    for item in value:
      yield from inside(item, kind, depth + 1)
  elif depth < 6 and dataclasses.is_dataclass(value) and not isinstance(value, type):
    yield from inside([*vars(value).values()], kind, depth + 1)


def called(method: Callable[..., Any], name: str) -> Callable[[str], object]:
  if name == 'sub':
    return lambda line: method('', line)
  return lambda line: [*method(line)] if name == 'finditer' else method(line)


def of_python() -> Iterator[tuple[str, str, Callable[[str], object]]]:
  """Where it stands, pattern, call."""
  every = [*modules()]
  trees = {module: ast.parse(inspect.getsource(module)) for module in every}
  methods: dict[tuple[str, str], set[str]] = {}
  for module, tree in trees.items():
    for node in ast.walk(tree):
      if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        methods.setdefault((module.__name__, node.value.id), set()).add(node.attr)
  for module, tree in trees.items():
    for name, value in vars(module).items():
      for compiled in inside(value, re.Pattern):
        if isinstance(compiled.pattern, str):
          used = methods.get((module.__name__, name), set()) & {*_CALLS} or _CALLS
          for call in used:
            run = called(getattr(compiled, call), call)
            yield f'{module.__name__}.{name}.{call}', compiled.pattern, run
    for node in ast.walk(tree):
      if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        continue
      if ast.unparse(node.func.value) != 're' or node.func.attr not in _CALLS:
        continue
      where = f'{module.__name__}:{node.lineno}'
      try:
        code = compile(ast.Expression(node.args[0]), where, 'eval')
        pattern = eval(code, vars(module))
      except NameError:
        assert ast.unparse(node.args[0]) in _NAMED, f'{where}: name it in _NAMED'
        continue
      if isinstance(pattern, str):
        method = functools.partial(getattr(re, node.func.attr), pattern)
        yield where, pattern, called(method, node.func.attr)


def of_polars() -> Iterator[tuple[str, str]]:
  """Where it stands, and a text that is an expression."""
  for module in modules():
    for name, value in vars(module).items():
      for text in inside(value, str) if not name.startswith('__') else ():
        if '\n' not in text and re.search(r'[\\\[*+]|\(\?|\|', text):
          yield f'{module.__name__}.{name}', text


def distinct(rows: Iterator[tuple]) -> list[tuple]:
  return [*{(row[1], row[0].rsplit('.')[-1]): row for row in rows}.values()]


def test_no_line_costs_more_than_its_length_in_python():
  rows = distinct(of_python())
  assert len(rows) > 80
  slow = {where: adversary.worst(run, pattern) for where, pattern, run in rows}
  assert not {where: line for where, line in slow.items() if line}


def _replace(pattern: str, line: str) -> pl.Series:
  return pl.Series([line]).str.replace_all(pattern, 'x')


def test_no_line_costs_more_than_its_length_in_polars():
  rows = {text: where for where, text in of_polars()}
  num, slow = 0, {}
  for text, where in rows.items():
    run = functools.partial(_replace, text)
    try:
      is_part = pl.Series(['']).str.contains(text).item()
    except pl.exceptions.PolarsError:
      continue  # no expression
    if is_part:  # of others: alone it would find nothing, everywhere
      continue
    num += 1
    if line := adversary.worst(run, text):
      slow[where, text] = line
  assert num > 150 and not slow


@pytest.mark.parametrize('name', test_masking.DISTINCT)
def test_no_line_costs_more_than_its_length_in_masks(name):
  maskset = test_masking.PRESETS[name]
  rules = ' '.join(pattern for pattern, _ in maskset.rules)
  assert not adversary.worst(lambda line: masking.mask([line], maskset), rules)


@pytest.mark.parametrize('pattern', [r'\s*\n', '(?:a+)+$'])  # fmt: skip
def test_a_slow_expression_is_seen(pattern):
  """What the tests above would say of it."""
  assert adversary.worst(re.compile(pattern).findall, pattern)


ODD = (r'(?=x)(?P<content>(a+)+$)', r'(?P<content>(a)\2+)', r'(?P<content>(?<!b)a)')


@pytest.mark.parametrize('flag, use', [
  ('--format', choosing.named),
  ('--mask', lambda pattern: messages.Templates(masks=[f'X={pattern}'])),
  ('--keep', lambda pattern: messages.Templates(keep=[pattern])),
])  # fmt: skip
def test_an_expression_without_bound_is_refused(flag, use):
  for pattern in (*ODD, '(?P<content>(?:a{1000}){1000})'):
    with pytest.raises(errors.UserError, match=f'^{flag}='):
      use(pattern)


def test_a_line_that_a_format_explodes_on_is_named(tmp_path, monkeypatch):
  monkeypatch.setattr(backtracking, 'LIMIT', 0.1)
  form = r'^(?=b)(?P<session>\w) (?P<content>(?:a+)+)$'
  options = systems.Options('custom', logs=(str(tmp_path / 'x.log'),), format=form)
  (tmp_path / 'x.log').write_text('b aaa\n\nb ' + 'a' * 60 + '!\nb a\n')
  with pytest.raises(errors.UserError, match='x.log:3: .*--format=') as error:
    systems.prepare(options, tmp_path / 'out')
  assert 'explodes' in str(error.value)
  with futures.ThreadPoolExecutor() as pool:
    found = pool.submit(lambda: [*backtracking.search(form, ['b a'])])
    with pytest.raises(errors.UserError, match='in a thread'):
      found.result()


@pytest.mark.parametrize('setting', ['masks', 'keep'])
def test_a_line_has_a_limit_under_any_expression(setting):
  """All matches in a line may cost the square of its length: it is cut before."""
  pattern = 'X=' * (setting == 'masks') + '.*[^A-Z]|[A-Z]'
  templates = messages.Templates(**{setting: [pattern]})
  begin = time.process_time()
  templates.add(['A' * 60_000])  # whole, they take 2.7 seconds
  assert time.process_time() - begin < 2
