"""Draw docs/pictures/seen.png, nine images and all that a network of 24x36 sees of them: python benchmarks/seen.py.

The images are the first of each class in the test part of the demo set, which `make train` renders: the photographs of
trash9 are not ours to show. Above, the same turn and stretch at four times the size.
"""

import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))
from trashlite.data.decode import decode  # noqa: E402
from trashlite.reports.pictures import image_grid  # noqa: E402

HEIGHT, WIDTH, ZOOM = 24, 36, 4


def main() -> None:
    files = [min(folder.glob("*.jpg")) for folder in sorted((PROJECT / "data/demo/test").glob("[!N]*"))]
    if not files:
        sys.exit("The demo set is not there yet: `make train` renders it.")
    large = [decode(file, (ZOOM * HEIGHT, ZOOM * WIDTH), "landscape", "box") for file in files]
    small = [decode(file, (HEIGHT, WIDTH), "landscape", "box").repeat(8, 0).repeat(8, 1) for file in files]
    titles = [file.parent.name for file in files]
    figure = image_grid([*large, *small], [*titles, *[""] * len(files)], columns=len(files))
    figure.savefig(PROJECT / "docs" / "pictures" / "seen.png", dpi=120)


if __name__ == "__main__":
    main()
