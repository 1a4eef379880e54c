"""Tables as text, for states that are saved as JSON: Parquet in base 64."""

import base64
import io

import polars as pl


def to_text(table: pl.DataFrame) -> str:
  """A table of any columns as text."""
  buffer = io.BytesIO()
  table.write_parquet(buffer)
  return base64.b64encode(buffer.getvalue()).decode()


def from_text(text: str) -> pl.DataFrame:
  """What `to_text` gave a text of.

  Raises TypeError, ValueError or PolarsError for any other text.
  """
  return pl.read_parquet(io.BytesIO(base64.b64decode(text)))
