"""`metalog NAME`: one short file a program; `main` begins and ends them all."""
