"""What can happen to the files of a folder, and what readers of it make of that.

Each file is flipped in a bit, cut, emptied, lengthened, removed, made a folder, or
exchanged for that of another such folder. A reader must refuse it with its name, or
give what it gives of the whole folder.
"""

import collections
import contextlib
import dataclasses
import io
import json
import pathlib
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from metalog_jax import errors
from metalog_jax.logs import live, store, tail
from metalog_jax.runs import detect, export, export_runner, job, model, run
from metalog_jax.scanning import baseline, follow, scan
from metalog_jax.training import checkpoints

OUTCOMES = ('refused', 'alike', 'refused unnamed', 'WRONG')
Damage = tuple[str, Callable[[], Any]]


def damages(
  path: pathlib.Path, other: pathlib.Path, draw: random.Random, flips: int = 1
) -> Iterator[Damage]:
  """(what, function that does it) of everything that can happen to a file."""
  content = path.read_bytes()

  def write(data: bytes) -> Callable[[], Any]:
    return lambda: path.write_bytes(data)

  def become_folder() -> None:
    path.unlink()
    path.mkdir()

  if content:
    for _ in range(flips):
      flipped = bytearray(content)
      flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
      yield 'flipped', write(bytes(flipped))
    yield 'cut', write(content[: draw.randrange(len(content))])
    yield 'emptied', write(b'')
  yield 'longer', write(content + b' ')
  yield 'removed', path.unlink
  yield 'a folder', become_folder
  if other.is_file() and other.read_bytes() != content:
    yield 'swapped', write(other.read_bytes())


def files(base: pathlib.Path) -> list[str]:
  """All files below a folder, relative to it."""
  return sorted(p.relative_to(base).as_posix() for p in base.rglob('*') if p.is_file())


class Folder(NamedTuple):
  """A folder, another of its kind, and what reads it."""

  base: pathlib.Path
  other: pathlib.Path
  read: Callable[[pathlib.Path], Any]  # gives what can be compared
  unit: str = '\0'  # the name of all its files, which are refused together


def outcomes(folder: Folder, seed: int, flips: int) -> Iterator[tuple[str, str, str]]:
  """Yields (file, damage, outcome) of every damage to every file.

  An outcome is 'refused' (with the file's name), 'refused unnamed', 'alike', or a
  fault: 'WRONG ...'.
  """
  expected = folder.read(_copy(folder.base))
  draw = random.Random(seed)
  for name in files(folder.base):
    number = len([*damages(folder.base / name, folder.other / name, draw, flips)])
    for i in range(number):
      copy = _copy(folder.base)
      what, do = [*damages(copy / name, folder.other / name, draw, flips)][i]
      do()
      try:
        same = folder.read(copy) == expected
        yield name, what, 'alike' if same else 'WRONG: another result'
      except errors.UserError as error:
        named = folder.unit in str(error) or pathlib.Path(name).name in str(error)
        yield name, what, 'refused' if named else f'refused unnamed: {error}'
      except Exception as error:
        yield name, what, f'WRONG: {type(error).__name__}: {error}'


def _copy(base: pathlib.Path) -> pathlib.Path:
  copy = base.with_name(f'{base.name}-damaged')
  shutil.rmtree(copy, ignore_errors=True)
  return shutil.copytree(base, copy)


def make(kind: str, inputs: pathlib.Path, place: pathlib.Path) -> Folder:
  """Writes two folders of a kind, of the inputs of `jobs`."""
  return getattr(_Maker(inputs, place), kind)()


class _Maker:
  """One method a kind of folder."""

  def __init__(self, inputs: pathlib.Path, place: pathlib.Path):
    self._inputs, self._place = inputs, place

  def system(self) -> Folder:
    def read(folder: pathlib.Path) -> Any:
      system = store.load(folder)
      return system.templates, checkpoints.digest(list(system.sessions[1:]))

    return Folder(self._copy('one', 'a'), self._inputs / 'two', read)

  def run(self) -> Folder:
    return Folder(self._copy('model', 'a'), self._another('model'), self._verdicts)

  def adapted(self) -> Folder:
    folders = []
    for seed in (0, 1):
      base = job.restore(self._inputs / 'model')
      data = dataclasses.replace(base.data, source=(), seed=seed, validation=0.0)
      changed = dataclasses.replace(base, data=data, model=str(self._inputs / 'model'))
      folders.append(self._place / f'adapted{seed}')
      run.start(changed, folders[-1], bool)
    return Folder(*folders, self._verdicts)

  def checkpoint(self) -> Folder:
    tree = {'a': np.arange(40.0), 'b': {'c': np.array(3), 'd': np.ones((3, 500))}}
    for name, scale in (('a', 1), ('other', 2)):
      saved = checkpoints.Checkpoints(self._place / name)
      saved.save(1, jax.tree.map(lambda x, scale=scale: x * scale, tree))
      saved.close()

    def read(folder: pathlib.Path) -> str:
      with contextlib.closing(checkpoints.Checkpoints(folder)) as saved:
        restored = saved.restore(tree)
      if restored is None:
        raise AssertionError('no checkpoint: the run begins anew')
      return checkpoints.digest(restored)

    return Folder(self._place / 'a', self._place / 'other', read, unit='a-damaged')

  def baseline(self) -> Folder:
    for name, log in (('a', 'good.log'), ('other', 'more.log')):
      scan.add_to_baseline(
        str(self._place / name), [str(self._inputs / log)], scan.Options()
      )

    def read(folder: pathlib.Path) -> Any:
      options = scan.Options(baseline=(str(folder),))
      found = scan.scan([str(self._inputs / 'app.log')], options)
      baseline.show(str(folder))
      return [item.as_dict() for item in found]

    return Folder(self._place / 'a', self._place / 'other', read)

  def state(self) -> Folder:
    lines = (self._inputs / 'app.log').read_text().splitlines(keepends=True)
    log = self._place / 'app.log'
    tail.PATIENCE, live.POLL, follow.COMMIT = 0.01, 0.001, 200
    for name, end in (('other', 1800), ('a', 2000)):
      log.write_text(''.join(lines[:end]))
      self._follow(self._place / name, log, end)

    def read(folder: pathlib.Path) -> Any:
      log.write_text(''.join(lines))
      self._follow(folder, log, len(lines))
      rows = (folder / follow_findings).read_text().splitlines()
      return [
        (x['finding_id'], x['count'], x['windows']) for x in map(json.loads, rows)
      ]

    follow_findings = 'findings.jsonl'
    return Folder(self._place / 'a', self._place / 'other', read)

  def exported(self) -> Folder:
    for name, source in (
      ('a', self._inputs / 'model'),
      ('other', self._another('model')),
    ):
      export.export(model.load(source), self._place / name)

    def read(folder: pathlib.Path) -> str:
      export_runner.HERE = folder
      out, err = io.StringIO(), io.StringIO()
      with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = export_runner.main([str(self._log())])
      if code:
        raise errors.UserError(err.getvalue())
      return out.getvalue()

    return Folder(self._place / 'a', self._place / 'other', read)

  def _copy(self, name: str, to: str) -> pathlib.Path:
    return shutil.copytree(self._inputs / name, self._place / to)

  def _another(self, name: str) -> pathlib.Path:
    """The run of the same job with another seed."""
    before = job.restore(self._inputs / name)
    data = dataclasses.replace(before.data, seed=7)
    out = self._place / 'another'
    run.start(dataclasses.replace(before, data=data), out, bool)
    return out

  def _log(self) -> pathlib.Path:
    return self._inputs / 'logs_one' / 'blockstore.log'

  def _verdicts(self, folder: pathlib.Path) -> Any:
    return list(detect.detect(model.load(folder), [str(self._log())]))

  def _follow(self, out: pathlib.Path, log: pathlib.Path, lines: int) -> None:
    def beat(follower: follow.Follower) -> None:
      quiet[:] = [quiet[0] + 1]
      done = follower.memory.lines >= lines or quiet[0] > 200
      follower.stopped = 15 * done

    quiet = [0]
    follow.follow([str(log)], scan.Options(out=str(out)), bool, bool, beat)


def table(rows: Iterable[tuple[str, str, str, str]]) -> str:
  """Rows (folder, file, damage, outcome) counted by folder and damage, as Markdown."""
  counts: dict[tuple[str, str], collections.Counter] = {}
  for folder, _, what, outcome in rows:
    cell = counts.setdefault((folder, what), collections.Counter())
    cell.update([outcome.split(':')[0]])
  lines = ['| folder | damage | tries | ' + ' | '.join(OUTCOMES) + ' |',
           '|---|---|' + '--:|' * (1 + len(OUTCOMES))]  # fmt: skip
  total = sum(counts.values(), collections.Counter())
  for (folder, what), cell in [*counts.items(), (('all', ''), total)]:
    cells = ' | '.join(str(cell[name]) for name in OUTCOMES)
    lines.append(f'| {folder} | {what} | {cell.total()} | {cells} |')
  return '\n'.join(lines)
