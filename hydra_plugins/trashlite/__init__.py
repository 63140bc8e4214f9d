"""Hydra plugins besides the sweeper: resolvers, callbacks, and the report of a multirun."""
