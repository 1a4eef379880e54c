"""Figures drawn in a light and a dark theme, as PNG bytes.

matplotlib is imported only when a figure is drawn. No pyplot: no
window, no global state.
"""

import io
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

_STYLES = pathlib.Path(__file__).parent / 'templates'


class Figure(NamedTuple):
  """A plot: `draw(axes, *arguments)` is called once for each theme."""

  name: str  # of the file, without .png
  caption: str
  draw: Callable[..., None]
  arguments: tuple[Any, ...] = ()
  size: tuple[float, float] = (4.8, 4.0)  # inches


def png(figure: Figure, *, dark: bool = False, dpi: int = 160) -> bytes:
  """One figure, with a transparent background if dark; `dpi` is pixels an inch."""
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
