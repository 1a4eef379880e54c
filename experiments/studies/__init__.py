"""What the studies among the programs measure, and the tables that they write."""
