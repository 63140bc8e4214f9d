"""All that the report tells, as plain figures: the content of report.json."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

from trashlite.data.audit import learning, shortcuts
from trashlite.data.audit.duplicates import Duplicate, duplicate_groups, find_duplicates, group_members
from trashlite.data.audit.folds import folds_of
from trashlite.data.audit.images import PARTS, Images
from trashlite.data.audit.labels import confusion_of, find_suspects, most_confused
from trashlite.data.audit.neighbours import nearest_neighbours, nearness
from trashlite.data.audit.properties import properties_of, shares_by_class
from trashlite.data.decode import decode
from trashlite.errors import UserError
from trashlite.reports.data_report.features import NAME
from trashlite.reports.predictions import Predictions

FEWEST = 5  # images of a class that classifiers are tried on
SHOWN = 24  # examples of each kind
RELATED = 0.9  # cosine of features: another shot of the same object, or of one like it
PERCENTILES = (5, 50, 95)


def analyse(images: Images, features: np.ndarray | None, predictions: Predictions | None = None) -> dict[str, Any]:
    """Figures of every section of the report.

    Args:
        features: of `images`, (N, D); None: the sections that need them are left out.
        predictions: out of fold, of a cross-validation; None: a linear classifier on `features` gives them.
    """
    result: dict[str, Any] = {"images": len(images), "class_names": images.class_names}
    result |= {"counts": counts(images), "unreadable": images.unreadable}
    if not len(images):
        return result
    pairs, proposed = find_duplicates(
        images.stacked("thumbnail"),
        [each.digest for each in images.measured],
        lambda position: decode(images.measured[position].path, (96, 96)),
    )
    groups = duplicate_groups(pairs, len(images))
    result |= {
        "oddities": oddities(images),
        "sizes": figures_by_class(images, {"width": images.figures("width"), "height": images.figures("height")}),
        "light": figures_by_class(
            images, {name: images.figures(name) for name in ("brightness", "contrast", "sharpness")}
        ),
        "properties": properties(images),
        "duplicates": duplicates(images, pairs, proposed, groups),
    }
    judged = judged_images(images)
    if len(np.unique(images.labels[judged])) > 1 and len(np.unique(groups[judged])) > 1:
        folds = folds_of(images.labels[judged], groups[judged])
        result["shortcuts"] = told_by(images, judged, folds)
        if features is not None:
            reduced = learning.reduced(features.astype(np.float32))
            result["neighbours"] = neighbours(images, reduced)
            result |= learned(images, judged, folds, reduced[judged])
        if predictions is not None:
            result["labels"] = labels(*matched(images, predictions), source="the cross-validation")
    return result


def counts(images: Images) -> dict[str, Any]:
    """Files by class and part, and how uneven the classes of train are."""
    train = [parts["train"] for parts in images.counts.values() if parts["train"]]
    return {
        "classes": images.counts,
        "unlabelled": int((images.parts == "unlabelled").sum()),
        "imbalance": max(train) / min(train) if train else None,
    }


def oddities(images: Images) -> dict[str, list[str]]:
    """Oddity -> names of the files."""
    found: dict[str, list[str]] = {}
    for name, measured in zip(images.names, images.measured, strict=True):
        for oddity in measured.oddities:
            found.setdefault(oddity, []).append(name)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def figures_by_class(images: Images, figures: dict[str, np.ndarray]) -> dict[str, dict[str, list[float]]]:
    """Class -> figure -> its 5th, 50th and 95th percentile; `all` is the whole data set."""
    chosen = {"all": np.ones(len(images), bool)}
    chosen |= {name: images.labels == number for number, name in enumerate(images.class_names)}
    return {
        name: {figure: np.percentile(values[rows], PERCENTILES).round(3).tolist() for figure, values in figures.items()}
        for name, rows in chosen.items()
        if rows.any()
    }


def properties(images: Images) -> dict[str, Any]:
    """Property -> images that have it, its share in each class, and examples."""
    classes = len(images.class_names)
    return {
        name: {
            "images": int(has.sum()),
            "shares": shares_by_class(has, images.labels, classes),
            "examples": [images.names[at] for at in np.flatnonzero(has)[:SHOWN]],
        }
        for name, has in properties_of(images).items()
    }


def duplicates(images: Images, pairs: Sequence[Duplicate], proposed: int, groups: np.ndarray) -> dict[str, Any]:
    """Pairs of the same picture: how many, across which parts, of which labels."""
    listed = []
    for pair in pairs:
        first, second = (
            {"file": images.names[at], "part": images.parts[at], "label": images.label_of(at)}
            for at in (pair.first, pair.second)
        )
        conflict = None not in (first["label"], second["label"]) and first["label"] != second["label"]
        across = " and ".join(sorted({first["part"], second["part"]}, key=PARTS.index))
        figures = {"turn": pair.turn, "difference": round(pair.difference, 2), "detail": round(pair.detail, 3)}
        listed.append(
            {"first": first, "second": second, **figures, "exact": pair.exact, "parts": across, "conflict": conflict}
        )
    return {
        "pairs": listed,
        "proposed": proposed,
        "exact": sum(pair.exact for pair in pairs),
        "near": sum(not pair.exact for pair in pairs),
        "turned": sum(bool(pair.turn) for pair in pairs),
        "conflicts": sum(each["conflict"] for each in listed),
        "parts": dict(Counter(each["parts"] for each in listed).most_common()),
        "groups": [[images.names[at] for at in members] for members in group_members(groups)],
    }


def judged_images(images: Images) -> np.ndarray:
    """Positions of the images of train and val whose class has enough of them for classifiers."""
    rows = images.trainable
    enough = np.bincount(images.labels[rows], minlength=len(images.class_names)) >= FEWEST
    return rows[enough[images.labels[rows]]]


def told_by(images: Images, rows: np.ndarray, folds: np.ndarray) -> dict[str, Any]:
    """F1 of classifiers that see border, size, or both."""
    border = images.stacked("border")[rows]
    sizes = shortcuts.size_features(images.figures("width")[rows], images.figures("height")[rows])
    figures = {"border": border, "size": sizes, "both": np.concatenate([border, sizes], axis=1)}
    present = np.unique(images.labels[rows])
    compact = np.searchsorted(present, images.labels[rows])
    told = {name: shortcuts.tell_classes(each, compact, len(present), folds) for name, each in figures.items()}
    return {
        "classes": [images.class_names[at] for at in present],
        **{name: asdict(each) for name, each in told.items()},
    }


def neighbours(images: Images, features: np.ndarray) -> dict[str, Any] | None:
    """Nearness of val to train, and the nearest pairs; None without one of them."""
    train, val = (np.flatnonzero(images.parts == part) for part in ("train", "val"))
    if len(train) < 2 or not len(val):
        return None
    across = nearest_neighbours(features[val], features[train])
    within = nearest_neighbours(features[train], features[train], same=True)
    order = np.argsort(-across.similarity, kind="stable")[:SHOWN]
    pairs = [
        {"val": images.names[val[at]], "train": images.names[train[across.nearest[at]]], "labels":
            [images.label_of(val[at]), images.label_of(train[across.nearest[at]])],
         "similarity": round(float(across.similarity[at]), 3)}
        for at in order
    ]  # fmt: skip
    return {
        "nearness": nearness(across, within),
        "relatives": int((across.similarity >= RELATED).sum()),
        "median_val_to_train": float(np.median(across.similarity)),
        "median_train_to_train": float(np.median(within.similarity)),
        "pairs": pairs,
        "histogram": {
            "edges": np.linspace(-1, 1, 81).round(3).tolist(),
            "val_to_train": np.histogram(across.similarity, np.linspace(-1, 1, 81))[0].tolist(),
            "train_to_train": np.histogram(within.similarity, np.linspace(-1, 1, 81))[0].tolist(),
        },
    }


def learned(images: Images, rows: np.ndarray, folds: np.ndarray, features: np.ndarray) -> dict[str, Any]:
    """Suspected labels, confusions, the learning curve and the worth of each class' images, by a linear classifier."""
    names = images.class_names
    present = np.unique(images.labels[rows])
    compact, classes = np.searchsorted(present, images.labels[rows]), len(present)
    probabilities = np.zeros((len(rows), len(names)))
    probabilities[:, present] = learning.out_of_fold(features, compact, classes, folds)
    curve = learning.learning_curve(features, compact, classes, folds)
    values = learning.class_values(features, compact, classes, folds)
    bend = learning.shrinking(curve[-2].macro_f1 - curve[-3].macro_f1, curve[-1].macro_f1 - curve[-2].macro_f1)
    return {
        "labels": labels(
            [images.names[at] for at in rows], names, probabilities, images.labels[rows],
            source=f"logistic regression on features of {NAME}, {int(folds.max()) + 1} folds",
        ),
        "learning": {
            "classes": [names[at] for at in present],
            "curve": [asdict(point) for point in curve],
            "doubling": learning.next_doubling(curve),
            "values": {
                names[at]: {**asdict(value), "doubling": max(0.0, value.own) * bend}
                for at, value in zip(present, values, strict=True)
            },
        },
    }  # fmt: skip


def matched(images: Images, predictions: Predictions) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    """Names, classes, probabilities and labels of the images that a cross-validation, of this data set, predicted."""
    label_of = {name: label for name, label in zip(images.names, images.labels.tolist(), strict=True) if label >= 0}
    rows = [row for row, name in enumerate(predictions.files) if name in label_of]
    if not rows or predictions.class_names != images.class_names:
        theirs, ours = (", ".join(each.class_names) for each in (predictions, images))
        classes = "the same classes" if theirs == ours else f"classes {theirs}, not {ours}"
        raise UserError(
            f"The out-of-fold predictions are of another data set: {len(rows)} of their {len(predictions.files)} files "
            f"are here; {classes}."
        )
    names, mean = [predictions.files[row] for row in rows], predictions.probabilities.mean(axis=0)
    return names, predictions.class_names, mean[rows], np.array([label_of[name] for name in names])


def labels(
    files: Sequence[str], names: Sequence[str], probabilities: np.ndarray, given: np.ndarray, source: str
) -> dict[str, Any]:
    """Suspected labels and confusions by out-of-fold probabilities (N, C)."""
    classes, present = len(names), np.unique(given)
    predicted = probabilities.argmax(axis=1)
    suspects = find_suspects(probabilities, given)
    confusion = confusion_of(predicted, given, classes)
    f1 = f1_score(given, predicted, labels=present, average=None, zero_division=0)
    return {
        "source": source,
        "images": len(files),
        "macro_f1": float(np.mean(f1)),
        "f1": {names[at]: float(value) for at, value in zip(present, f1, strict=True)},
        "suspects": [
            {"file": files[each.position], "given": names[each.given], "predicted": names[each.predicted],
             "margin": round(each.margin, 4)}
            for each in suspects
        ],
        "suspects_by_class": {names[at]: sum(each.given == int(at) for each in suspects) for at in present},
        "confusion": confusion.tolist(),
        "confused": [[names[one], names[other], images] for one, other, images in most_confused(confusion)],
    }  # fmt: skip
