"""metrics.jsonl: one line a meta-step, and never two for the same one."""

import json
import pathlib
from typing import Any

from metalog_jax import atomic


class MetricsFile:
  """metrics.jsonl; lines of steps that a resumed run will do again are dropped."""

  def __init__(self, path: pathlib.Path, step: int):
    lines = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
      try:  # the last line may be cut in the middle by a kill
        if json.loads(line)['step'] <= step:
          lines.append(line.decode() + '\n')
      except (ValueError, KeyError, TypeError):
        break
    atomic.write_text(path, ''.join(lines))
    self._file = path.open('a')

  def write(self, step: int, values: dict[str, Any]) -> None:
    record = {'step': step} | {name: float(value) for name, value in values.items()}
    self._file.write(atomic.to_json(record) + '\n')  # strict: NaN is null
    self._file.flush()

  def close(self) -> None:
    self._file.close()
