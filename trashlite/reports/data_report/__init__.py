"""Report on a data set: one page that opens offline, the figures as JSON, the pictures as PNG."""
