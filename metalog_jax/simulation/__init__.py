"""SIMULATED systems: their vocabularies and grammars. All text is invented."""
