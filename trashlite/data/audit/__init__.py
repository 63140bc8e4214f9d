"""Faults of a data set: what files, pixels, features and out-of-fold predictions tell about its images and labels."""
