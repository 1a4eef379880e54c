"""Sessions to packed grids: what a step reads."""
