"""Console output of a program that also draws progress bars."""

import logging
import sys
from typing import TextIO


class StdoutHandler(logging.StreamHandler):
    """Logging to whatever stdout is when a message comes: while a bar is drawn, rich puts it above the bar."""

    @property
    def stream(self) -> TextIO:
        return sys.stdout

    @stream.setter
    def stream(self, value: TextIO) -> None:
        """Given by the base class; nothing to keep."""
