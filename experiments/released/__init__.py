"""The MetaLog that its authors released, with the faults that change its results."""
