"""Axes in a light or a dark theme in, PNG bytes out.

matplotlib is the extra `plots` and is imported here, only when a figure is drawn.
No pyplot: no window, no global state. Colours are those of Okabe and Ito, which
the colour-blind tell apart.
"""

import io
from collections.abc import Callable
from typing import Any

MISSING = 'figures need matplotlib: pip install metalog_jax[plots]'
_PALETTES = {  # text, edges, then the cycle C0, C1, ...
  False: ('#1f2328', '#6e7781', '#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #56B4E9'),
  True: ('#e6edf3', '#8b949e', '#56B4E9 #E69F00 #2FBF94 #E39AC2 #F0E442 #7AA6DA'),
}


class PlotsMissing(ValueError):
  """matplotlib is not installed."""


def check() -> None:
  """Raise PlotsMissing, whose message says what to install."""
  try:
    import matplotlib.figure  # noqa: F401
  except ImportError as error:
    raise PlotsMissing(MISSING) from error


def png(
  draw: Callable[[Any], None],
  size: tuple[float, float] = (4.8, 4.0),
  *,
  dark: bool = False,
  dpi: int = 160,
) -> bytes:
  """Call `draw(ax)` in a theme and return the PNG, transparent only if dark.

  Args:
    draw: draws on the axes it is given.
    size: inches.
    dark: light lines on no background instead of dark ones on white.
    dpi: pixels an inch.

  Raises:
    PlotsMissing: matplotlib is not installed.
  """
  check()
  import matplotlib
  from matplotlib.backends import backend_agg
  from matplotlib.figure import Figure

  with matplotlib.rc_context(_theme(dark)):
    figure = Figure(figsize=size, dpi=dpi, layout='constrained')
    backend_agg.FigureCanvasAgg(figure)
    draw(figure.add_subplot())
    out = io.BytesIO()
    # No software version inside: equal figures are equal bytes.
    figure.savefig(out, format='png', transparent=dark, metadata={'Software': None})
  return out.getvalue()


def _theme(dark: bool) -> dict[str, Any]:
  from cycler import cycler

  text, edge, colors = _PALETTES[dark]
  return {
    'axes.prop_cycle': cycler(color=colors.split()),
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.edgecolor': edge,
    'axes.labelcolor': text,
    'axes.axisbelow': True,
    'font.size': 12,
    'font.family': 'DejaVu Sans',
    'grid.color': edge,
    'grid.alpha': 0.25,
    'legend.frameon': False,
    'legend.fontsize': 11,
    'lines.linewidth': 2,
    'text.color': text,
    'xtick.color': text,
    'ytick.color': text,
  }
