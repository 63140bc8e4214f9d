"""One job, as run.py runs it: its parts from the configuration, its stages, its devices."""
