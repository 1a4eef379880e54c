"""Writes a trained model as a folder that needs neither this library nor its caches.

  metalog export --model=runs/demo/train --out=exported
  python exported/run.py new.log > verdicts.jsonl

The folder holds templates and masks as JSON, checksums, run.py, which takes raw lines,
and what it scores with: of `evidence` the fitted reference, for which numpy is enough;
of a network a StableHLO program for CPU, CUDA and TPU, which needs jax and flatbuffers.
"""

from typing import Any

from metalog_jax import lazy
from metalog_jax.cli import main as programs
from metalog_jax.cli.options import Flag

api = lazy.module('metalog_jax.api')
export = lazy.module('metalog_jax.runs.export')
sources = lazy.module('metalog_jax.embeddings.sources')

FLAGS = (
  Flag('model', None, 'a finished run folder of `metalog train`', required=True),
  Flag('out', None, 'the folder to write', required=True),
)


def main(values: Any, rest: list[str]) -> None:
  """Exports the model and says what was written."""
  model = api.load(values.model).model
  sizes = export.export(model, values.out)
  for name, size in sizes.items():
    programs.say(f'{size:>12,}  {values.out}/{name}')
  if sources.can_extend(model.embedding):
    programs.say(
      'its events have vectors of an encoder, which is not exported: lines that fit no '
      'template count as the unknown event'
    )
