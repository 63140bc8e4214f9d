"""Contact sheet of crops: a part of the photograph with the box drawn in, and beside it the crop."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

SIDE = 150  # pixels of each picture
COLUMNS = 6
CAPTION = 16


@dataclass(frozen=True)
class Cell:
    """One crop of the sheet: two thumbnails and a title."""

    place: Image.Image
    crop: Image.Image
    title: str

    @classmethod
    def of(cls, image: Image.Image, box: Sequence[float], crop: Image.Image, title: str) -> "Cell":
        """Thumbnails of a photograph with `box` (left, top, width, height) drawn in, and of the crop."""
        scale = min(SIDE / image.width, SIDE / image.height)
        place = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
        left, top, width, height = (value * scale for value in box)
        ImageDraw.Draw(place).rectangle((left, top, left + width, top + height), outline="red", width=2)
        small = crop.copy()
        small.thumbnail((SIDE, SIDE))
        return cls(place, small, title)


def contact_sheet(cells: Sequence[Cell]) -> Image.Image:
    """All cells in rows."""
    columns = min(COLUMNS, len(cells))
    width, height = 2 * SIDE + 12, SIDE + CAPTION + 6
    sheet = Image.new("RGB", (columns * width, -(-len(cells) // columns) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for position, cell in enumerate(cells):
        left, top = position % columns * width, position // columns * height
        draw.text((left + 2, top + 2), cell.title, fill="black")
        sheet.paste(cell.place, (left + 2, top + CAPTION))
        sheet.paste(cell.crop, (left + SIDE + 6, top + CAPTION))
    return sheet
