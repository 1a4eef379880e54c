"""Programs in forked processes that something is done to.

The process that forks has imported all that programs need, and has computed nothing:
jax has no backend yet, and polars and jax no threads that matter. So a child is what
`metalog NAME` is after its imports, which take most of the time of a small job.
"""

import atexit
import contextlib
import importlib
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax._src import compiler, distributed

from metalog_jax import machine
from metalog_jax.cli import main as programs

LIMIT = 120.0  # seconds after which a process counts as hanging
IMPORTED = (
  *(f'metalog_jax.{name}' for name in (
    'api', 'runs.export', 'cli.train', 'scanning.output', 'report.pages')),
  'flax.linen', 'optax', 'pyarrow.dataset', 'sklearn.covariance', 'sklearn.neighbors',
  'sklearn.linear_model', 'sklearn.svm', 'sklearn.tree',
)  # fmt: skip
WATCHED = {
  'open', 'os.rename', 'os.remove', 'os.mkdir', 'os.rmdir', 'os.truncate', 'os.link',
  'os.listdir', 'os.scandir', 'os.chmod', 'fcntl.flock', 'shutil.rmtree',
}  # fmt: skip
_ROOT = pathlib.Path(__file__).resolve().parents[2]
_context = multiprocessing.get_context('fork')

Call = Callable[[], Any]


def prepare_process(out: pathlib.Path) -> None:
  """Imports what programs need, and gives compiled programs a folder in `out`.

  All programs are kept there: those of small jobs compile quickly, but are many.
  """
  for name in IMPORTED:
    importlib.import_module(name)
  os.environ['XDG_CACHE_HOME'] = str(out / 'cache')
  os.environ['PYTHONPATH'] = str(_ROOT)  # what programs start runs this code, too

  def use_compilation_cache() -> None:
    jax.config.update('jax_compilation_cache_dir', str(out / 'cache'))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
    jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)

  machine.use_compilation_cache = use_compilation_cache
  write = compiler._cache_write

  def write_as_first(*arguments: Any) -> None:
    """Of several processes jax has the first one alone write, and the others compile
    each time anew."""
    state = distributed.global_state
    number, state.process_id = state.process_id, 0
    try:
      write(*arguments)
    finally:
      state.process_id = number

  compiler._cache_write = write_as_first


def metalog(arguments: Sequence[str]) -> Call:
  """`metalog ARGUMENTS`, to be called in a child."""
  return lambda: programs.main(list(arguments))


def said_file(place: pathlib.Path) -> pathlib.Path:
  """Where processes of a folder print to: beside it, for its disk may be full."""
  return place.with_name(f'{place.name}.said.txt')


class Child:
  """A call in a process of its own, in its own session, in the folder `place`.

  What it prints goes to `said_file(place)`; the exit code is that of the call.

  Args:
    before: called in the child first.
  """

  def __init__(self, call: Call, place: pathlib.Path, before: Call = bool):
    self._said = said_file(place)
    self._process: Any = _context.Process(target=_run, args=(call, place, before))
    sys.stdout.flush()
    self._process.start()

  @property
  def said(self) -> str:
    """What it has printed so far."""
    with contextlib.suppress(OSError):
      return self._said.read_text(errors='replace')
    return ''

  def is_alive(self) -> bool:
    return self._process.is_alive()

  def wait(self, limit: float = LIMIT) -> int | None:
    """The exit code (negative: of the signal); None where it hung and was killed."""
    self._process.join(limit)
    if self._process.is_alive():
      self.send(signal.SIGKILL)
      self._process.join()
      return None
    return self._process.exitcode

  def send(self, number: int, group: bool = True) -> None:
    """Sends a signal to all its processes, or to the first one alone."""
    with contextlib.suppress(ProcessLookupError):
      kill = os.killpg if group and os.getpgid(self._pid) == self._pid else os.kill
      kill(self._pid, number)

  @property
  def _pid(self) -> int:
    return self._process.pid


class Fresh(Child):
  """A new process of Python, which imports all by itself, as `metalog NAME` does.

  Args:
    words: arguments of Python.
    variables: of its environment, besides ours.
  """

  def __init__(self, words: Sequence[str], place: pathlib.Path, **variables: str):
    self._said = said_file(place)
    with self._said.open('ab') as said:
      self._process = subprocess.Popen(
        [sys.executable, *words], cwd=place, stdin=subprocess.DEVNULL, stdout=said,
        env=os.environ | {'PYTHONPATH': str(_ROOT)} | variables, stderr=said,
        start_new_session=True,
      )  # fmt: skip

  def is_alive(self) -> bool:
    return self._process.poll() is None

  def wait(self, limit: float = LIMIT) -> int | None:
    try:
      return self._process.wait(limit)
    except subprocess.TimeoutExpired:
      self.send(signal.SIGKILL)
      self._process.wait()
      return None


def _run(call: Call, place: pathlib.Path, before: Call) -> None:
  os.setsid()
  os.chdir(place)
  said = os.open(said_file(place), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
  for stream in (1, 2):
    os.dup2(said, stream)
  sys.stdin = open(os.devnull)  # noqa: SIM115
  before()
  code = call()
  programs.leave(int(code or 0))
  sys.stdout.flush()
  atexit._run_exitfuncs()  # as at the end of a program; jax leaves the others there
  sys.exit(int(code or 0))


def on_file_operation(act: Callable[[int], Any]) -> Call:
  """What to do `before` a call: `act` with the number of each file operation.

  Operations are those of Python on paths in the current folder, before they are done.
  """

  def before() -> None:
    place, number = os.getcwd(), 0

    def hook(event: str, arguments: tuple) -> None:
      nonlocal number
      if event in WATCHED and arguments:
        path = arguments[0]
        known = isinstance(path, str | bytes | os.PathLike)
        if known and _is_inside(os.fsdecode(path), place):
          number += 1
          act(number)

    sys.addaudithook(hook)

  return before


def _is_inside(path: str, place: str) -> bool:
  return not path.startswith('/') or path.startswith(place)


def kill_at(number: int, signal_number: int = signal.SIGKILL) -> Call:
  """What to do `before` a call: the process gets a signal at a file operation."""

  def act(now: int) -> None:
    if now == number:
      os.kill(os.getpid(), signal_number)

  return on_file_operation(act)


def count_operations(call: Call, place: pathlib.Path) -> tuple[int, float]:
  """Runs a call to its end; how many file operations it made, and seconds.

  Raises RuntimeError where it fails.
  """
  last = _context.Value('i', 0)

  def note(now: int) -> None:
    last.value = now

  begin = time.monotonic()
  child = Child(call, place, on_file_operation(note))
  code = child.wait()
  if code:
    raise RuntimeError(f'{place}: exit code {code}: {child.said[-2000:]}')
  return last.value, time.monotonic() - begin
