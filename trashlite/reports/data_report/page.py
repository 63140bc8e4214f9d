"""The report as one HTML file: findings first, then a section for each question; nothing to fetch.

Long by its sections, one function each.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trashlite.reports.data_report.html import chart, folded, images, table
from trashlite.reports.data_report.thumbnails import Cards, text

SUSPECTS, PAIRS = 60, 24  # shown
VERDICTS = '<div id="verdicts"><button id="save">Save relabel.csv</button> <span id="count">0</span> verdicts</div>'
WORTH = ("own", "macro", "doubling")
TOLD = ("balanced_accuracy", "chance_accuracy", "macro_f1", "chance_f1")
HERE = Path(__file__).parent
Section = tuple[str, str, str]  # id, heading, HTML


def page(
    title: str, result: Mapping[str, Any], sentences: Sequence[str], pictures: Mapping[str, bytes], cards: Cards
) -> str:
    """Return the page.

    Args:
        result: figures of `analyse`.
        sentences: the findings.
        pictures: PNG files by the name of their chart.
    """
    made: list[tuple[str, str, Callable[..., str]]] = [
        ("counts", "Classes and parts", _counts),
        ("files", "Unreadable and odd files", _files),
        ("sizes", "Sizes", _sizes),
        ("light", "Light and sharpness", _light),
        ("duplicates", "The same picture twice", _duplicates),
        ("shortcuts", "Shortcuts", _shortcuts),
        ("leakage", "Val beside train", _leakage),
        ("labels", "Suspected labels", _labels),
        ("confused", "Classes taken for each other", _confused),
        ("learning", "What more photographs would bring", _learning),
    ]
    sections = [(key, heading, html) for key, heading, make in made if (html := make(result, cards, pictures))]
    links = "".join(f'<a href="#{key}">{heading}</a>' for key, heading, _ in sections)
    found = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences)
    body = "\n".join(f'<h2 id="{key}">{heading}</h2>\n{html}' for key, heading, html in sections)
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{text(title)}</title>\n'
        f"<style>{style}</style></head>\n<body>\n<h1>{text(title)}</h1>\n"
        f'<h2 id="findings">Findings</h2>\n<ul class="findings">{found}</ul>\n<nav>{links}</nav>\n{body}\n'
        f"{_made(result)}\n{VERDICTS if 'data-file=' in body else ''}\n<script>{script}</script>\n</body></html>\n"
    )


def _counts(result: Mapping[str, Any], cards: Cards, pictures: Mapping[str, bytes]) -> str:
    classes = result["counts"]["classes"]
    rows = [[name, *parts.values(), sum(parts.values())] for name, parts in classes.items()]
    totals = [sum(row[at] for row in rows) for at in range(1, 5)]
    by_class = table(["class", "train", "val", "test", "all"], [*rows, ["all", *totals]]) if rows else ""
    unlabelled = result["counts"]["unlabelled"]
    note = (
        f"<p>{unlabelled:,} images have no label (test/NoLabel): looked at, never learned from.</p>"
        if unlabelled
        else ""
    )
    return by_class + note + chart(pictures, "counts", "Files by class and part")


def _files(result: Mapping[str, Any], cards: Cards, pictures: Mapping[str, bytes]) -> str:
    parts = []
    if unreadable := result["unreadable"]:
        parts.append(folded(f"{len(unreadable):,} files cannot be read", table(["file", "why"], unreadable.items())))
    for oddity, names in result.get("oddities", {}).items():
        parts.append(folded(f"{len(names):,} files: {text(oddity)}", cards.sheet(names[:PAIRS])))
    return "".join(parts) or "<p>All files can be read, and none is odd.</p>"


def _sizes(result: Mapping[str, Any], cards: Cards, pictures: Mapping[str, bytes]) -> str:
    if "sizes" not in result:
        return ""
    note = "<p>Upright width and height: nine images in ten lie on the bar, half on each side of the dot.</p>"
    return note + chart(pictures, "sizes", "Sizes by class") + _examples(result, cards, ("side", "long"))


def _light(result: Mapping[str, Any], cards: Cards, pictures: Mapping[str, bytes]) -> str:
    if "light" not in result:
        return ""
    note = (
        "<p>Brightness is the mean luma; contrast lies between its 1st and 99th percentile; sharpness is the strongest "
        "edges as a share of the contrast, measured on a copy of at most 192 pixels.</p>"
    )
    return (
        note
        + chart(pictures, "light", "Light and sharpness")
        + _examples(result, cards, ("dark", "white", "contrast", "blurred"))
    )


def _examples(result: Mapping[str, Any], cards: Cards, words: Sequence[str]) -> str:
    chosen = {
        name: each
        for name, each in result["properties"].items()
        if any(word in name for word in words) and each["images"] and "border" not in name
    }
    return "".join(
        folded(f"{text(name)}: {images(each['images'])}", cards.sheet(each["examples"]))
        for name, each in chosen.items()
    )


def _duplicates(result: Mapping[str, Any], cards: Cards, pictures: Mapping[str, bytes]) -> str:
    if not (found := result.get("duplicates")):
        return ""
    note = (
        f"<p>{found['proposed']:,} pairs looked alike at 16 x 16 grey pixels, under every turn and mirroring. A pair "
        "counts where colours at 32 x 32 pixels and fine detail at 96 x 96 agree: "
        f"{found['exact']} with the same bytes, {found['near']} by pixels; {found['conflicts']} differ in label.</p>"
    )
    order = sorted(found["pairs"], key=lambda pair: (not pair["conflict"], " and " not in pair["parts"]))
    shown = "".join(
        '<div class="pair"><p>'
        + ("same bytes" if pair["exact"] else f"{pair['turn'] or 'not turned'}, detail {pair['detail']:.2f}")
        + f", {pair['parts']}{', <b>labels differ</b>' if pair['conflict'] else ''}</p>"
        + "".join(
            cards.card(
                each["file"],
                [text(each["label"] or "no label")],
                choose=each["part"] in ("train", "val", "test") and each["label"] is not None,
            )
            for each in (pair["first"], pair["second"])
        )
        + "</div>"
        for pair in order[:PAIRS]
    )
    more = f"<p>{len(order) - PAIRS:,} more are in report.json.</p>" if len(order) > PAIRS else ""
    return note + f'<div class="pairs">{shown}</div>' + more


def _shortcuts(result: Mapping[str, Any], cards: Cards, pictures: Mapping[str, bytes]) -> str:
    parts = []
    if told := result.get("shortcuts"):
        rows = [
            [words, *(f"{told[key][figure]:.3f}" for figure in TOLD)]
            for key, words in (("border", "the border alone"), ("size", "size and shape alone"), ("both", "both"))
        ]
        if labels := result.get("labels"):
            rows.append(["the whole picture, for comparison", "", "", f"{labels['macro_f1']:.3f}", ""])
        parts.append(
            "<p>A class that its background gives away is learned by its background, and missed on another one. "
            "Randomised trees guess the class of held-out images from the colours of a ring of 3 % of the shorter "
            "side, or from size and shape. Chance: the same with shuffled labels. In tight crops the ring shows "
            "the object too.</p>" + table(["told by", "balanced accuracy", "chance", "macro F1", "chance"], rows)
        )
        parts.append(chart(pictures, "shortcuts", "What tells the class beside the object"))
    if "properties" in result:
        parts.append("<p>A border counts as white or black where nine pixels in ten of it are.</p>")
        parts.append(chart(pictures, "properties", "Share of each class"))
        parts.append(_examples_of(result, cards, "has a white border"))
    return "".join(parts)


def _examples_of(result: Mapping[str, Any], cards: Cards, name: str) -> str:
    found = result["properties"][name]
    return folded(f"{name}: {images(found['images'])}", cards.sheet(found["examples"])) if found["images"] else ""


def _leakage(result: Mapping[str, Any], cards: Cards, pictures: Mapping[str, bytes]) -> str:
    if not (found := result.get("neighbours")):
        return ""
    shown = "".join(
        f'<div class="pair"><p>similarity {pair["similarity"]:.2f}</p>'
        + "".join(
            cards.card(pair[part], [text(label)]) for part, label in zip(("val", "train"), pair["labels"], strict=True)
        )
        + "</div>"
        for pair in found["pairs"][:12]
    )
    return (
        f"<p>Similarity of the nearest training image, by features of a network that ImageNet trained: median "
        f"{found['median_val_to_train']:.2f} from val, {found['median_train_to_train']:.2f} within train.</p>"
        + chart(pictures, "neighbours", "Nearest neighbours in train")
        + f'<h3>The nearest of val to train</h3><div class="pairs">{shown}</div>'
    )


def _labels(result: Mapping[str, Any], cards: Cards, pictures: Mapping[str, bytes]) -> str:
    if not (found := result.get("labels")):
        return ""
    suspects = found["suspects"]
    shown = suspects[:SUSPECTS]

    def lines(place: int) -> list[str]:
        suspect = shown[place]
        return [f"{text(suspect['given'])} → <b>{text(suspect['predicted'])}</b>", f"margin {suspect['margin']:.2f}"]

    sheet = cards.sheet([each["file"] for each in shown], lines, choose=True)
    return (
        f"<p>Out-of-fold predictions of {text(found['source'])}, macro F1 {found['macro_f1']:.3f}. An image is "
        "suspect where another class is as probable as that class is on its own images (confident learning). Given "
        "label → predicted class; margin: probability of the given minus that of the predicted. Nothing is changed: "
        "what you choose below an image goes into relabel.csv, for <code>datamodule.relabel=relabel.csv</code>. "
        f"{len(suspects):,} suspects, the first {len(shown)} shown, all in suspects.csv.</p>{sheet}"
    )


def _confused(result: Mapping[str, Any], cards: Cards, pictures: Mapping[str, bytes]) -> str:
    if not (found := result.get("labels")):
        return ""
    pairs = table(["class", "taken for each other with", "images"], found["confused"])
    return pairs + chart(pictures, "confusion", "Confusion matrix, out of fold")


def _learning(result: Mapping[str, Any], cards: Cards, pictures: Mapping[str, bytes]) -> str:
    if not (found := result.get("learning")):
        return ""
    rows = [
        [name, f"{found['curve'][-1]['f1'][at]:.3f}", *(f"{100 * value[key]:+.1f}" for key in WORTH)]
        for at, (name, value) in enumerate(found["values"].items())
    ]
    return (
        "<p>A linear classifier on features of a network that ImageNet trained, on shares of the images, judged by "
        "held-out ones. Then half of one class is left out at a time: what its F1 and the mean of all lose by that is "
        "what its images are worth, and about what as many more would bring if the curve is not bending yet.</p>"
        + chart(pictures, "learning", "Learning curve")
        + table(
            ["class", "F1", "own F1 lost with half (points)", "macro F1 lost", "own F1 by twice as many, about"], rows
        )
    )


def _made(result: Mapping[str, Any]) -> str:
    made = result.get("made", {})
    words = ", ".join(f"{name} {value}" for name, value in made.items())
    return f'<p class="soft">{text(words)}</p>'
