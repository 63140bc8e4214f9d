"""Checkpoints as files of a run, and as settings for the next one."""
