"""The main job, end to end, on a tiny data set."""

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from sklearn.metrics import f1_score

from datamodules.trash import TrashDataModule
from lightning_modules.classifier import TrashClassifier
from tests.harness import BACKBONE
from trashlite.compression.fold_batchnorm import fold_batchnorm
from trashlite.compression.macs import count_macs
from trashlite.errors import UserError
from trashlite.reports.predictions import read_predictions

Record = dict[str, Any]
Run = Callable[..., Record]


def submission_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "submission.json").read_text())


def test_fit_test_and_predict_agree_with_the_checkpoint(quick_run: Run, tiny_root: Path, tmp_path: Path) -> None:
    record = quick_run()
    model = TrashClassifier.load_from_checkpoint(record["checkpoint"]).eval()
    data = TrashDataModule(tiny_root, cache_dir=tmp_path / "other", **model.preprocessing)
    data.prepare_data()
    data.setup("fit")

    def predict(dataset: Any) -> np.ndarray:
        batch = data.on_after_batch_transfer(dataset.__getitems__(range(len(dataset))), 0)
        return model(batch["image"]).argmax(1).numpy()

    with torch.no_grad():
        for stage, dataset in (("val", data.val_dataset), ("test", data.test_dataset)):
            truth, labels = dataset.targets, range(len(data.class_names))
            f1 = f1_score(truth, predict(dataset), labels=labels, average="macro", zero_division=0)
            assert record[f"{stage}/f1"] == pytest.approx(f1, abs=1e-6)
            kept = read_predictions(tmp_path / "out" / f"{stage}_predictions.csv")
            assert kept.files == dataset.names
            assert kept.labels.tolist() == truth.tolist()
            assert kept.predicted[0].tolist() == predict(dataset).tolist()
        names = [data.class_names[label] for label in predict(data.predict_dataset)]

    submission = submission_of(tmp_path / "out")
    assert submission["submission"] == dict(zip(data.predict_dataset.names, names, strict=True))
    folded = fold_batchnorm(model.model, (3, 32, 32))
    assert submission["macs"] == record["model/macs"] == count_macs(folded, (3, 32, 32)).macs
    assert record["objective"] == (record["val/f1"], record["model/macs"])
    assert record["tested_on"] == "test"

    with (tmp_path / "out" / "submission.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "label"]
    assert dict(rows[1:]) == submission["submission"]
    assert rows[1:] == sorted(rows[1:])


def test_submit_needs_nothing_but_the_checkpoint(quick_run: Run, trained: Record, tmp_path: Path) -> None:
    # No word of backbone, size or data: they come from the checkpoint.
    checkpoint = f"checkpoint={trained['checkpoint']}"
    again = quick_run("fit=false", "test=false", checkpoint, folder="again", bare=True)
    assert submission_of(tmp_path / "again") == submission_of(Path(trained["folder"]))
    info = json.loads((tmp_path / "again" / "submission_info.json").read_text())
    assert info["backbone"] == BACKBONE
    assert info["checkpoint_sha256"] == hashlib.sha256(Path(trained["checkpoint"]).read_bytes()).hexdigest()
    assert "val/f1" not in again


def test_fit_goes_on_from_a_checkpoint(quick_run: Run, trained: Record) -> None:
    still = quick_run(
        "trainer.max_epochs=1",
        "optimizer.lr=0",
        "scheduler.warmup_lr=0",
        "scheduler.min_lr=0",
        "callbacks.ema=null",
        f"checkpoint={trained['checkpoint']}",
        folder="still",
    )
    before = TrashClassifier.load_from_checkpoint(trained["checkpoint"]).state_dict()
    after = TrashClassifier.load_from_checkpoint(still["checkpoint"]).state_dict()
    weights = [name for name, value in before.items() if value.ndim == 4]
    assert len(weights) > 15
    assert all(torch.equal(before[name], after[name]) for name in weights)


def test_unreadable_test_files_keep_their_row(quick_run: Run, render_root: Callable[..., Path], tmp_path: Path) -> None:
    root = render_root(tmp_path / "root", {"train/A": 6, "train/B": 4, "val/A": 2, "val/B": 2, "test/NoLabel": 3})
    (root / "test" / "NoLabel" / "broken file.jpg").write_bytes(b"no image")
    quick_run(f"datamodule.root={root}")
    submission = submission_of(tmp_path / "out")["submission"]
    assert len(submission) == 4
    assert submission["broken file.jpg"] == "A"  # the most frequent class
    info = json.loads((tmp_path / "out" / "submission_info.json").read_text())
    assert list(info["unreadable"]) == ["broken file.jpg"]
    assert sorted(info["probabilities"]) == sorted(set(submission) - {"broken file.jpg"})


def test_original_landscape_input(quick_run: Run) -> None:
    record = quick_run("image_size=[46,64]", "resize_mode=landscape", "predict=false")
    model = TrashClassifier.load_from_checkpoint(record["checkpoint"])
    assert model.preprocessing["image_size"] == [46, 64]
    assert model.preprocessing["resize_mode"] == "landscape"
    assert record["model/macs"] == count_macs(fold_batchnorm(model.model, (3, 46, 64)), (3, 46, 64)).macs


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["optimizer.lr=1e30", "scheduler.warmup_epochs=0"],
            ["training loss", "nan at step", "learning rate 8.54e+29"],
        ),
        (["max_macs=1e5"], [BACKBONE, "100,000"]),
        (["fit=false"], ["checkpoint=PATH"]),
        (["checkpoint=nowhere.ckpt"], ["nowhere.ckpt"]),
        (["objective=[val/f2]"], ["val/f2", "val/f1"]),
        (["objective=[val/f1_Foo]"], ["objective=val/f1_Foo", "Glass, Metal"]),
        (["callbacks.best_checkpoint.monitor=val/f1_Foo"], ["best_checkpoint.monitor", "Glass, Metal"]),
        (["trainer.accelerator=mps"], ["trainer.accelerator=mps", "auto or cpu"]),
        (["+trainer.strategy=foo"], ["settings under trainer", "foo", "ddp"]),
        (["+trainer.val_check_interval=999"], ["val_check_interval (999)"]),
        (["+scheduler.decay_milestones=[1]", "optimizer.name=adamx"], ["adamx", "adamw"]),
        (["scheduler.sched=cosin"], ["cosin", "cosine"]),
        (["datamodule.root=/nowhere"], ["/nowhere", "datamodule=demo"]),
        (["backbone.name=lcnet_03"], ["lcnet_03", "lcnet_035"]),
    ],
)
def test_mistakes_are_told_in_words(quick_run: Run, overrides: list[str], words: list[str]) -> None:
    with pytest.raises((UserError, InstantiationException)) as caught:  # Hydra wraps what its targets raise
        quick_run(*overrides, "trainer.max_epochs=2")
    error = caught.value if isinstance(caught.value, UserError) else caught.value.__cause__
    assert isinstance(error, UserError)
    assert all(word in str(error) for word in words), str(error)


def test_macs_are_those_of_the_network_that_is_shipped_even_when_nothing_is_evaluated(
    quick_run: Run, trained: Record
) -> None:
    checkpoint = f"checkpoint={trained['checkpoint']}"
    idle = quick_run("fit=false", "test=false", "predict=false", checkpoint, folder="idle", bare=True)
    model = TrashClassifier.load_from_checkpoint(trained["checkpoint"])
    folded = count_macs(fold_batchnorm(model.model, (3, 32, 32)), (3, 32, 32))
    assert (idle["model/macs"], idle["model/params"]) == (folded.macs, folded.params)
    plain = quick_run(
        "fit=false", "test=false", "predict=false", "fold_batchnorm=false", checkpoint, folder="plain", bare=True
    )
    assert plain["model/macs"] == count_macs(model.model, (3, 32, 32)).macs > folded.macs


def test_a_submission_without_images_to_predict_is_an_error(
    quick_run: Run, trained: Record, render_root: Callable[..., Path], tmp_path: Path
) -> None:
    root = render_root(tmp_path / "root", {f"train/{name}": 2 for name in ("Glass", "Metal", "Plastic bag")})
    with pytest.raises(UserError, match=r"nothing to predict.*NoLabel"):
        quick_run("fit=false", "test=false", f"checkpoint={trained['checkpoint']}", f"datamodule.root={root}")


def test_a_copied_run_goes_on_with_its_own_best_checkpoint(
    quick_run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quick_run("test=false", "predict=false", folder="run")
    shutil.move(tmp_path / "run", tmp_path / "moved")
    caplog.set_level("INFO")
    record = quick_run(f"resume={tmp_path / 'moved' / 'checkpoints' / 'last.ckpt'}", folder="moved", bare=True)
    assert record["checkpoint"] == str(tmp_path / "moved" / "checkpoints" / "best.ckpt")
    assert "nothing is left to train" in caplog.text


def test_renamed_classes_are_refused_when_a_run_is_resumed(
    quick_run: Run, render_root: Callable[..., Path], tmp_path: Path
) -> None:
    counts = {f"{part}/{name}": 3 for part in ("train", "val") for name in ("A", "B")}
    root = render_root(tmp_path / "root", counts)
    quick_run(f"datamodule.root={root}", "test=false", "predict=false", folder="run")
    for part in ("train", "val"):
        (root / part / "A").rename(root / part / "Z")
    resume = f"resume={tmp_path / 'run' / 'checkpoints' / 'last.ckpt'}"
    with pytest.raises(UserError, match=r"\bZ\b"):
        quick_run(resume, "trainer.max_epochs=2", folder="run", bare=True)


def test_a_single_class_is_told(quick_run: Run, render_root: Callable[..., Path], tmp_path: Path) -> None:
    root = render_root(tmp_path / "root", {"train/Glass": 4})
    with pytest.raises(UserError, match="has one class, Glass"):
        quick_run(f"datamodule.root={root}")


def test_classes_may_be_called_as_figures_are(quick_run: Run, render_root: Callable[..., Path], tmp_path: Path) -> None:
    names = ("high", "low", "macs")
    root = render_root(tmp_path / "root", {f"{part}/{name}": 4 for part in ("train", "val", "test") for name in names})
    record = quick_run(f"datamodule.root={root}", "predict=false")
    of_classes = [record[f"test/f1_{name}"] for name in names]
    assert record["test/f1"] == pytest.approx(sum(of_classes) / 3, abs=1e-6)
    assert record["test/interval_low"] <= record["test/f1"] <= record["test/interval_high"]


def test_three_batches_to_learn_by_heart_hold_all_classes(quick_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    step = TrashClassifier.training_step

    def look(self: TrashClassifier, batch: Any, batch_idx: int) -> Any:
        seen.append(batch["index"].tolist())
        assert set(batch["target"].tolist()) == {0, 1, 2}
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TrashClassifier, "training_step", look)
    quick_run("debug=overfit", "datamodule.batch_size=4", "trainer.max_epochs=2")
    assert len(seen) == 6
    assert seen[:3] == seen[3:]  # the same in each epoch


def test_a_checkpoint_of_another_backbone_is_refused(quick_run: Run, trained: Record) -> None:
    with pytest.raises(UserError, match=rf"holds a {BACKBONE}.*lcnet_050"):
        quick_run(f"checkpoint={trained['checkpoint']}", "backbone.name=lcnet_050")


def test_verdicts_on_labels_stand_in_the_record(quick_run: Run, tmp_path: Path) -> None:
    verdicts = tmp_path / "relabel.csv"
    verdicts.write_text("file,label\ntrain/Glass/000.jpg,Metal\ntrain/Glass/001.jpg,drop\n")
    record = quick_run(f"datamodule.relabel={verdicts}", "predict=false")
    assert record["relabel"]["changed"] == {"Glass -> Metal": 1}
    assert record["relabel"]["dropped"] == 1
    assert record["relabel"]["sha256"] == hashlib.sha256(verdicts.read_bytes()).hexdigest()[:16]
