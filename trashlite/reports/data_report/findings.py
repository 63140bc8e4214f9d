"""Findings of the report in sentences, the weightiest first."""

from collections.abc import Iterator
from typing import Any

MANY = 0.2  # difference of shares between two classes that is worth a sentence
TOLD = 0.1  # balanced accuracy above chance from which a shortcut is worth a sentence


def findings(result: dict[str, Any]) -> list[str]:
    """Sentences with figures; `result` is of `analyse`."""
    if not result["images"]:
        return ["None of the files can be read as an image."]
    sections = (_files, _labels, _duplicates, _shortcuts, _leakage, _balance, _sizes, _light, _learning)
    return [sentence for section in sections for sentence in section(result)]


def _files(result: dict[str, Any]) -> Iterator[str]:
    if unreadable := result["unreadable"]:
        yield f"{_count(len(unreadable), 'file')} cannot be read; training leaves them out."
    for oddity, files in result["oddities"].items():
        if oddity != "grey":
            yield f"{_count(len(files), 'file')} {'is' if len(files) == 1 else 'are'} odd: {oddity}."


def _labels(result: dict[str, Any]) -> Iterator[str]:
    if not (labels := result.get("labels")):
        yield (
            "Labels were not judged: that needs two classes with five images each, and OUT_OF_FOLD= or the network "
            "that --no-network leaves out."
        )
        return
    suspects = labels["suspects"]
    if suspects:
        by_class = sorted(labels["suspects_by_class"].items(), key=lambda item: -item[1])
        most = ", ".join(f"{count} of {name}" for name, count in by_class[:3] if count)
        yield (
            f"{_count(len(suspects), 'label')} of {labels['images']:,} ({len(suspects) / labels['images']:.1%}) "
            f"{'is' if len(suspects) == 1 else 'are'} suspect: {most}. People found half of such suspicions right in "
            "well-known test sets (Northcutt et al. 2021), and a classifier that errs more suspects more in vain: "
            f"this one has an F1 of {labels['macro_f1']:.2f}. The first of the list are the likeliest."
        )
    else:
        yield f"None of {labels['images']:,} labels is suspect."
    if confused := labels["confused"]:
        pairs = [f"{one} and {other} ({images} images)" for one, other, images in confused[:3]]
        yield f"Most often taken for each other: {_and(pairs)}."


def _duplicates(result: dict[str, Any]) -> Iterator[str]:
    found = result["duplicates"]
    pairs = found["exact"] + found["near"]
    if not pairs:
        yield f"No image is there twice ({found['proposed']:,} pairs look alike at first sight, none at second)."
        return
    turned = f", {found['turned']} of them turned or mirrored" if found["turned"] else ""
    yield (
        f"{_count(pairs, 'pair')} of images show{'s' if pairs == 1 else ''} the same picture: {found['exact']} with "
        f"the same bytes, {found['near']} by their pixels{turned} ({found['proposed']:,} looked alike at first sight)."
    )
    for parts, count in found["parts"].items():
        if " and " in parts:
            yield f"{_count(count, 'pair')} of the same picture {'lies' if count == 1 else 'lie'} across {parts}."
    if conflicts := found["conflicts"]:
        has = "has" if conflicts == 1 else "have"
        yield f"{_count(conflicts, 'pair')} of the same picture {has} different labels: one of each must be wrong."


def _shortcuts(result: dict[str, Any]) -> Iterator[str]:
    names = result["class_names"]
    filled = [at for at, name in enumerate(names) if sum(result["counts"]["classes"][name].values())]
    for name, found in result["properties"].items():
        shares = {names[at]: found["shares"][at] for at in filled}
        if len(shares) > 1 and max(shares.values()) - min(shares.values()) >= MANY:
            most = max(shares, key=lambda each: shares[each])
            fewest = [each for each in shares if shares[each] <= min(shares.values()) + 0.005]
            yield (
                f"{shares[most]:.0%} of {most} {name}, {min(shares.values()):.0%} of {_and(fewest[:3])}: "
                "a network can learn this instead of the object."
            )
    if told := result.get("shortcuts"):
        what = {"border": "The border alone", "size": "Size and shape alone", "both": "Border, size and shape together"}
        for key, words in what.items():
            figures = told[key]
            above = figures["balanced_accuracy"] - figures["chance_accuracy"]
            if above < TOLD:
                yield f"{words} hardly tell{'s' if key == 'border' else ''} the class: {_told(figures)}."
                continue
            best = max(range(len(told["classes"])), key=lambda at: figures["recalls"][at])
            yield (
                f"{words} tell{'s' if key == 'border' else ''} the class with {_told(figures)}; best "
                f"{told['classes'][best]}, {figures['recalls'][best]:.0%} of it."
            )


def _told(figures: dict[str, Any]) -> str:
    return (
        f"{figures['balanced_accuracy']:.0%} balanced accuracy (chance {figures['chance_accuracy']:.0%}), macro F1 "
        f"{figures['macro_f1']:.2f} (chance {figures['chance_f1']:.2f})"
    )


def _leakage(result: dict[str, Any]) -> Iterator[str]:
    if not (found := result.get("neighbours")):
        return
    near = found["nearness"]
    if near > 0.6:
        meaning = "val has relatives in train, such as other frames of a scene, and its figures flatter"
    elif near < 0.4:
        meaning = "val is unlike train, as if from another source"
    else:
        meaning = "val is to train as train is to itself"
    yield (
        f"An image of val is nearer to train than an image of train is to the rest of it in {near:.0%} of cases "
        f"(50%: no difference): {meaning}."
    )
    if relatives := found["relatives"]:
        yield (
            f"{_count(relatives, 'image')} of val {'has' if relatives == 1 else 'have'} a near relative in train, "
            "such as another shot of the same object."
        )


def _balance(result: dict[str, Any]) -> Iterator[str]:
    train = {name: parts["train"] for name, parts in result["counts"]["classes"].items()}
    if empty := [name for name, count in train.items() if not count and any(train.values())]:
        yield f"{_and(empty)}: no image in train."
    if (uneven := result["counts"]["imbalance"]) and uneven >= 2:
        most, fewest = (
            max(train, key=lambda name: train[name]),
            min(filter(train.get, train), key=lambda name: train[name]),
        )
        yield (
            f"{most} has {uneven:.0f} times as many training images as {fewest} "
            f"({train[most]:,} and {train[fewest]:,})."
        )
    if len(train) > 1 and not sum(parts["val"] for parts in result["counts"]["classes"].values()):
        yield "There is no val: training sets a part of train aside."


def _sizes(result: dict[str, Any]) -> Iterator[str]:
    medians = {name: (of["width"][1], of["height"][1]) for name, of in result["sizes"].items() if name != "all"}
    if len(medians) > 1:
        area = sorted(medians, key=lambda name: medians[name][0] * medians[name][1])
        small, large = area[0], area[-1]
        if medians[large][0] * medians[large][1] > 2 * medians[small][0] * medians[small][1]:
            one, other = ("{:.0f} x {:.0f}".format(*medians[name]) for name in (small, large))
            yield f"Images of {small} are small, {one} pixels (medians of width and height); those of {large} {other}."


def _light(result: dict[str, Any]) -> Iterator[str]:
    words = {
        "is dark": "dark",
        "is nearly white": "nearly white",
        "shows hardly any contrast": "without contrast",
        "is blurred": "blurred",
    }
    found = [
        f"{result['properties'][name]['images']} {word}"
        for name, word in words.items()
        if result["properties"][name]["images"]
    ]
    if found:
        yield f"Of {result['images']:,} images {_and(found)}."


def _learning(result: dict[str, Any]) -> Iterator[str]:
    if not (found := result.get("learning")):
        return
    half, whole = found["curve"][-2:]
    yield (
        f"From half of the images to all, macro F1 of the linear classifier rises from {half['macro_f1']:.3f} to "
        f"{whole['macro_f1']:.3f}; twice as many would bring about {100 * found['doubling']:+.1f} points more."
    )
    worth = sorted(found["values"].items(), key=lambda item: -item[1]["doubling"])
    gains = [
        f"{name} (about {100 * value['doubling']:+.1f} points of its F1)"
        for name, value in worth[:3]
        if value["doubling"] > 0.005
    ]
    if gains:
        yield f"Doubling the photographs of one class would bring most for {_and(gains)}."


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
