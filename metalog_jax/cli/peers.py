"""A process of several that train together, and the one beside it that speaks for it.

Where another process ends or is not heard of, jax's service aborts this one from C++,
with a dump in place of a sentence. So the work is done in a child process, and its
parent says what happened. Neither outlives the other.
"""

import ctypes
import mmap
import os
import re
import signal
import sys
from collections.abc import Callable
from typing import Any

_PR_SET_PDEATHSIG = 1  # of Linux' sys/prctl.h
_LOST = re.compile(
  'Gloo|[Cc]oordination|UNAVAILABLE|DEADLINE_EXCEEDED|[Hh]eartbeat|[Bb]arrier'
  '|Connection (?:closed|reset)'
)
_NOISE = re.compile(rb'\[Gloo\] ')
_DUMP = re.compile(rb'[EF]\d{4} \d\d:|terminate called|W\d{4} .*preemption_sync')
_SHOWN = 240  # characters of a dump's first line
_GOES_ON = 'start the same command everywhere to go on from the last checkpoint'


def die_with_parent(parent: int | None = None) -> None:
  """Has the kernel kill this process (SIGKILL) when the one that started it ends.

  Call it in the child: at its start, or as `preexec_fn`. Elsewhere than on Linux it
  does nothing.

  Args:
    parent: its process id, if the child knows it; by default that of now.
  """
  parent = os.getppid() if parent is None else parent
  try:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
  except (AttributeError, OSError, TypeError):
    return
  if os.getppid() != parent:  # it ended before the kernel was asked
    os.kill(os.getpid(), signal.SIGKILL)


def supervise(
  name: str,
  work: Callable[[], Any],
  limit: int,
  is_finished: Callable[[], bool],
  debug: bool = False,
) -> int | None:
  """Forks. The child does the work and gets None; the parent waits for it and gets the
  exit code.

  Call it before jax is imported.

  A process that has done its work waits for the others at its end. If one of them
  leaves then, and the run is finished, nothing is lost: that is a success.

  Args:
    name: of the program, for what the parent says.
    limit: seconds after which a process counts as not heard of, for a message.
    is_finished: whether the result of the run is written.
    debug: pass on all that jax says.
  """
  read, write = os.pipe()
  done = mmap.mmap(-1, 1)  # of both processes
  parent, child = os.getpid(), os.fork()
  if not child:
    die_with_parent(parent)
    os.close(read)
    os.dup2(write, 2)
    os.close(write)
    _guarded(name, work, limit)
    sys.stdout.flush()
    done[0] = 1
    return None
  os.close(write)
  signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to both
  reason = _pass_on(read, debug)
  _, status = os.waitpid(child, 0)
  code = os.waitstatus_to_exitcode(status)
  if code and done[0] and is_finished():
    return 0
  if code >= 0:
    return code
  if code == -signal.SIGKILL:
    why = 'was killed, for want of memory maybe'
  elif code == -signal.SIGABRT:  # jax's service
    why = 'ended, because another process of the run ended or was not heard of'
    why += f' ({reason})' if reason else ''
  else:
    why = f'was ended by {signal.Signals(-code).name}'
  print(f'{name}: this process {why}: {_GOES_ON}', file=sys.stderr)
  return 1


def _pass_on(read: int, debug: bool) -> str:
  """Copies what the child says; of what comes with a dump, only our own lines.

  Returns:
    What the dump begins with, shortened; '' for none.
  """
  rest, dump, reason = b'', False, ''
  while data := os.read(read, 1 << 16):
    *lines, rest = (rest + data).splitlines(keepends=True)
    if rest.endswith((b'\n', b'\r')) or not dump and not _DUMP.match(rest):
      lines, rest = [*lines, rest], b''  # the bar has no line ends
    for line in lines:
      if not dump and (start := _DUMP.match(line)):
        dump, text = True, line[start.end() :].decode(errors='replace')
        reason = text.partition('] ')[2].strip()[:_SHOWN] or text.strip()[:_SHOWN]
      shown = line.startswith(b'metalog') if dump else not _NOISE.match(line)
      if shown or debug:
        os.write(2, line)
  return reason


def _guarded(name: str, work: Callable[[], Any], limit: int) -> Any:
  """Calls `work`; where it fails because of another process, says so and ends this one.

  It ends at once: jax would wait for the others at the end of a program.
  """
  try:
    return work()
  except Exception as error:
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
      causes.append(cause)
    if not any(_LOST.search(str(cause)) for cause in causes):
      raise
    print(
      f'{name}: another process of the run ended, or was not heard of for {limit} s '
      f'(--peer_timeout): {_GOES_ON}',
      file=sys.stderr,
      flush=True,
    )
    os._exit(1)
