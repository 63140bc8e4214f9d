"""Hydra's sweeper on current Optuna: resumable, for several processes and machines, with pruning and promotion."""
