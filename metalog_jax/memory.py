"""Memory that the C library keeps between the steps of a computation."""

import ctypes


def keep_freed() -> None:
  """Keeps the memory of a step's temporaries for the next step.

  The C library gives large blocks back to the system when they are freed, and the
  system clears every page when it hands them out again: a third of a meta-step.
  """
  try:
    mallopt = ctypes.CDLL(None).mallopt
  except (AttributeError, OSError, TypeError):
    return  # another C library
  most = 2**31 - 1
  for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    mallopt(parameter, most)
