"""The files that a followed log has been, by their names beside it."""

import glob
import os
import re
import stat

from metalog_jax.logs import files

_ROTATED = re.compile(  # after the path; sums, locks and archives have other ends
  r'[._-](?:old|prev|[0-9][0-9A-Za-z:_-]*(?:\.[0-9][0-9:_-]*)*(?:\.(?:log|txt|json))?)'
)


def status(path: str) -> os.stat_result | None:
  """What the system says of a path; None where there is nothing."""
  try:
    return os.stat(path)
  except OSError:
    return None


def beside(path: str, compressed: bool = False) -> dict[str, os.stat_result]:
  """The path and files whose names begin with it: those that can be read."""
  result = {}
  for name in dict.fromkeys([path, *glob.glob(glob.escape(path) + '*')]):
    about = status(name)
    if about and stat.S_ISREG(about.st_mode):
      if name.endswith(files.COMPRESSED) == compressed:
        result[name] = about
  return result


def named(path: str) -> dict[str, os.stat_result]:
  """As `beside`, with names such as app-1.log of app.log."""
  return beside(path) | beside(os.path.splitext(path)[0])


def newer(
  path: str, changed: int, compressed: bool = False
) -> list[tuple[int, str, int]]:
  """Change, path and inode of rotated files that changed later, in this order."""
  stem = lambda name: os.path.splitext(name)[0] if compressed else name
  return sorted(
    (about.st_mtime_ns, name, about.st_ino)
    for name, about in beside(path, compressed).items()
    if _ROTATED.fullmatch(stem(name).removeprefix(path)) and about.st_mtime_ns > changed
  )


def name_now(path: str, handle: int) -> str | None:
  """The name of an open file: the path, or one beside it; None where it has neither."""
  opened, about = os.fstat(handle), status(path)
  if about is not None and os.path.samestat(opened, about):
    return path
  same = (name for name, x in named(path).items() if os.path.samestat(opened, x))
  return next(same, None)
