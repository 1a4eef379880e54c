"""metrics.jsonl: one line a meta-step, and never two for the same one."""

import json
import os
import pathlib
from collections.abc import Callable
from typing import Any


class MetricsFile:
  """metrics.jsonl; lines of steps that a resumed run will do again are dropped."""

  def __init__(self, path: pathlib.Path, step: int, mirror: Callable | None = None):
    kept = []
    if path.exists():
      for line in path.read_text().splitlines():
        try:  # the last line may be cut in the middle by a kill
          if json.loads(line)['step'] <= step:
            kept.append(line + '\n')
        except (ValueError, KeyError):
          break
    temporary = path.with_name(path.name + '.tmp')
    temporary.write_text(''.join(kept))
    os.replace(temporary, path)
    self._file = path.open('a')
    self._mirror = mirror

  def write(self, step: int, values: dict[str, Any]) -> None:
    record = {'step': step} | {name: float(value) for name, value in values.items()}
    self._file.write(json.dumps(record) + '\n')
    self._file.flush()
    if self._mirror:
      self._mirror(step, record)

  def close(self) -> None:
    self._file.close()
