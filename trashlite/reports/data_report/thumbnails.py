"""Small copies of images for the page, and cards that show them with words and a choice."""

import base64
import io
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from trashlite.data.decode import BadImageError, read_rgb
from trashlite.data.relabel import DROP

SIDE = 120  # pixels of the longer side


def text(words: str) -> str:
    """Any text as HTML, bytes of file names that are no UTF-8 as replacement characters."""
    return escape(words.encode("utf-8", "replace").decode())


class Cards:
    """Cards of images below `root`.

    Args:
        choices: labels that a person may give.
    """

    def __init__(self, root: Path, choices: Sequence[str] = ()) -> None:
        self.root = root
        self.choices = choices
        self._known: dict[str, str] = {}

    def card(self, name: str, lines: Sequence[str] = (), choose: bool = False) -> str:
        """Figure of one image: thumbnail, lines of text (HTML), name, and where wanted a choice of a label."""
        words = "<br>".join(lines)
        return (
            f'<figure><div class="frame"><img alt="{text(name)}" loading="lazy" src="{self._picture(name)}"></div>'
            f'<figcaption>{words}<span class="soft">{text(name)}</span>{self._choice(name) if choose else ""}'
            "</figcaption></figure>"
        )

    def sheet(
        self, names: Sequence[str], lines: Callable[[int], Sequence[str]] = lambda _: (), choose: bool = False
    ) -> str:
        """Grid of cards; `lines` gets the place of each."""
        cards = [self.card(name, lines(place), choose) for place, name in enumerate(names)]
        return f'<div class="cards">{"".join(cards)}</div>'

    def _choice(self, name: str) -> str:
        options = "".join(f'<option value="{text(label)}">{text(label)}</option>' for label in self.choices)
        return (
            f'<select data-file="{text(name)}" aria-label="verdict on {text(name)}"><option value="">undecided</option>'
            f'{options}<option value="{DROP}">drop it</option></select>'
        )

    def _picture(self, name: str) -> str:
        if name not in self._known:
            try:
                image = read_rgb(self.root / name, 2 * SIDE)
            except BadImageError:  # gone since it was measured
                image = Image.new("RGB", (1, 1), "grey")
            image.thumbnail((SIDE, SIDE))
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=82)
            self._known[name] = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
        return self._known[name]
