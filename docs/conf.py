"""Sphinx configuration: `make docs` builds docs/_build/html without the network."""

import pathlib
import sys

import metalog_jax

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tutorials  # noqa: E402

tutorials.build(tutorials.changed())  # runs those whose page is not of today's script

project = 'metalog_jax'
author = 'The metalog_jax authors'
copyright = author
release = metalog_jax.__version__

extensions = [
  'myst_parser',
  'sphinx.ext.autodoc',
  'sphinx.ext.napoleon',
  'sphinx.ext.viewcode',
]
myst_enable_extensions = ['deflist', 'fieldlist']
myst_heading_anchors = 3
exclude_patterns = ['_build', 'tutorials']
html_theme = 'furo'
html_title = 'metalog_jax'
autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'
napoleon_numpy_docstring = False
# Papers' tables hold arrows and Greek letters; code blocks in them have no language.
suppress_warnings = ['misc.highlighting_failure']
