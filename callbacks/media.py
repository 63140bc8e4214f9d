"""Pictures of results, drawn with the best checkpoint, after its validation and test."""

from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.loggers import WandbLogger
from sklearn.metrics import confusion_matrix
from torch import Tensor

from callbacks.collected_outputs import CollectedOutputs, Stage
from trashlite.reports.learning_curve import learning_curve_figure, read_history
from trashlite.reports.pictures import confusion_matrix_figure, image_grid, save_figure
from trashlite.reports.results import class_table, worst_mistakes


class ResultPictures(CollectedOutputs):
    """Draw the confusion matrix and the worst mistakes, into the run's folder and to W&B where it is on.

    `<output_dir>/pictures/{val,test}_{confusion,mistakes}.png`, and `learning_curve.png` from metrics.csv; W&B also
    gets a table of precision, recall and F1 of each class.

    Args:
        output_dir: the run's folder.
        mistakes: how many wrong images to show, those of the highest cross entropy.
    """

    def __init__(self, output_dir: str | Path, mistakes: int = 32) -> None:
        super().__init__()
        self.folder = Path(output_dir) / "pictures"
        self.mistakes = mistakes

    def judge(self, trainer: Any, pl_module: Any, stage: Stage, outputs: dict[str, Tensor]) -> None:
        if not trainer.is_global_zero:
            return
        if stage == "val":
            history = read_history(self.folder.parent)
            if len(history["train/loss"]) > 1:
                save_figure(learning_curve_figure(history), self.folder / "learning_curve.png")
        logits, target, index = (outputs[key] for key in ("logits", "target", "index"))
        names = pl_module.class_names
        predicted = logits.argmax(dim=1)
        confusion = confusion_matrix(target, predicted, labels=range(len(names)))

        datamodule = trainer.datamodule
        on_test = stage == "test" and datamodule.test_dataset is not None
        dataset = datamodule.test_dataset if on_test else datamodule.val_dataset
        where = stage if stage == "val" or on_test else "test on val"
        paths = {
            "confusion": save_figure(
                confusion_matrix_figure(confusion, names, title=where), self.folder / f"{stage}_confusion.png"
            )
        }
        worst = worst_mistakes(logits, target, self.mistakes)
        if worst:
            figure = image_grid(
                [np.asarray(dataset.images[int(index[i])]) for i in worst],
                [f"{names[target[i]]} → {names[predicted[i]]}" for i in worst],
                title=f"{where}: the worst of {int((predicted != target).sum())} mistakes (true → predicted)",
            )
            paths["mistakes"] = save_figure(figure, self.folder / f"{stage}_mistakes.png")
        rows = class_table(target, predicted, names)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                for name, path in paths.items():
                    logger.log_image(f"{stage}/{name}", [str(path)])
                logger.log_table(
                    f"{stage}/classes", columns=["class", "images", "precision", "recall", "f1"], data=rows
                )
