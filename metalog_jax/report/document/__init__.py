"""A document as blocks, and the same blocks as HTML and as Markdown."""
