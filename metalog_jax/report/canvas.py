"""Figures drawn in a light and a dark theme, as PNG bytes.

matplotlib is imported only when a figure is drawn. No pyplot: no
window, no global state.
"""

import io
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from absl import logging

MISSING = 'figures need matplotlib: pip install matplotlib'
_STYLES = pathlib.Path(__file__).parent / 'templates'


class Figure(NamedTuple):
  """A plot: `draw(axes, *arguments)` is called once for each theme."""

  name: str  # of the file, without .png
  caption: str
  draw: Callable[..., None]
  arguments: tuple[Any, ...] = ()
  size: tuple[float, float] = (4.8, 4.0)  # inches


def draw_all(figures: Sequence[Figure]) -> tuple[dict[str, tuple[bytes, bytes]], str]:
  """Name -> PNG for light, for dark; or none, and what to install."""
  try:
    return {f.name: (png(f), png(f, dark=True)) for f in figures}, ''
  except ImportError:
    logging.warning('%s', MISSING)
    return {}, MISSING


def png(figure: Figure, *, dark: bool = False, dpi: int = 160) -> bytes:
  """One figure, with a transparent background if dark; `dpi` is pixels an inch.

  Raises:
    ImportError: matplotlib is not installed.
  """
  import matplotlib.figure  # slow to import
  from matplotlib.backends import backend_agg

  style = _STYLES / ('dark.mplstyle' if dark else 'light.mplstyle')
  with matplotlib.rc_context(fname=style):
    drawing = matplotlib.figure.Figure(figure.size, dpi, layout='constrained')
    backend_agg.FigureCanvasAgg(drawing)
    figure.draw(drawing.add_subplot(), *figure.arguments)
    out = io.BytesIO()
    # No software version inside: equal figures are equal bytes.
    drawing.savefig(out, format='png', transparent=dark, metadata={'Software': None})
  return out.getvalue()
