"""Processes that programs start, and that must not live on without them."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # of Linux' sys/prctl.h


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
