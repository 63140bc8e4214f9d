import shutil
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from datamodules.trash import TrashDataModule
from trashlite.data.augmentation import BatchAugmentation
from trashlite.data.decode import decode
from trashlite.errors import UserError


def names(datamodule: TrashDataModule, *stages: str) -> set[str]:
    return {name for stage in stages for name in getattr(datamodule, f"{stage}_dataset").names}


def break_image(path: Path, content: bytes = b"no image") -> None:
    path.write_bytes(content)


# --- what is there ---


def test_attributes(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root)
    assert datamodule.class_names == ["Glass", "Metal", "Plastic bag"]
    assert datamodule.class_counts == [12, 8, 4]
    assert datamodule.preprocessing == {
        "image_size": [8, 12],
        "resize_mode": "stretch",
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.25, 0.5],
    }
    sizes = [len(getattr(datamodule, f"{stage}_dataset")) for stage in ("train", "val", "test", "predict")]
    assert sizes == [24, 9, 6, 7]
    assert datamodule.tested_on == "test"


def test_a_kernel_that_is_not_the_first_is_named_and_used(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root, resize_kernel="box")
    assert datamodule.preprocessing["kernel"] == "box"
    dataset = datamodule.val_dataset
    np.testing.assert_array_equal(dataset.images[5], decode(dataset.paths[5], (8, 12), kernel="box"))


def test_targets_are_the_folders_and_images_are_the_files(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root)
    for stage in ("train", "val", "test"):
        dataset = getattr(datamodule, f"{stage}_dataset")
        assert [datamodule.class_names[target] for target in dataset.targets] == [
            path.parent.name for path in dataset.paths
        ]
        assert dataset.targets.dtype == np.int64
        np.testing.assert_array_equal(dataset.images[5], decode(dataset.paths[5], (8, 12)))
    assert datamodule.predict_dataset.targets.tolist() == [-1] * 7
    assert datamodule.predict_dataset.names == [f"{number:03d}.jpg" for number in range(7)]


def test_batches(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root, batch_size=10, eval_batch_size=4)
    batches = list(datamodule.train_dataloader())
    assert [len(batch["image"]) for batch in batches] == [10, 10, 4]
    assert sorted(torch.cat([batch["index"] for batch in batches]).tolist()) == list(range(24))
    dataset = datamodule.train_dataset
    for batch in batches:
        assert batch["image"].shape[1:] == (8, 12, 3)
        assert [batch[key].dtype for key in ("image", "target", "index")] == [torch.uint8] + 2 * [torch.int64]
        np.testing.assert_array_equal(batch["image"], dataset.images[batch["index"].numpy()])
        np.testing.assert_array_equal(batch["target"], dataset.targets[batch["index"]])
    assert [batch["index"].tolist() for batch in datamodule.val_dataloader()] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8],
    ]
    (image, target, index) = dataset[3].values()
    assert (image.shape, int(target), int(index)) == ((8, 12, 3), int(dataset.targets[3]), 3)


def test_workers_give_the_same_batches(tiny_root: Path, build: Callable) -> None:
    here = list(build(tiny_root, batch_size=10).train_dataloader())
    there = list(build(tiny_root, batch_size=10, num_workers=1).train_dataloader())
    for ours, theirs in zip(here, there, strict=True):
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(23, [23]), (8, [8, 8, 8]), (22, [22, 2]), (24, [24]), (1, [1] * 24)]
)
def test_only_a_last_batch_of_one_is_dropped(
    tiny_root: Path, build: Callable, batch_size: int, sizes: list[int]
) -> None:
    loader = build(tiny_root, batch_size=batch_size).train_dataloader()
    assert [len(batch["image"]) for batch in loader] == sizes


def test_a_single_training_image_is_kept(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    loader = build(render_root(tmp_path / "root", {"train/a": 1, "val/a": 1}), batch_size=4).train_dataloader()
    assert [len(batch["image"]) for batch in loader] == [1]


def test_lightning_moves_the_sampler_on_with_the_epoch(tiny_root: Path, build: Callable) -> None:
    class Recorder(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 1)
            self.seen: dict[int, list[int]] = {}

        def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
            self.seen.setdefault(self.current_epoch, []).extend(batch["index"].tolist())
            assert batch["image"].shape[1:] == (3, 8, 12)
            return self.layer(batch["image"].mean().view(1, 1)).sum()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.0)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    datamodule = build(tiny_root, batch_size=10)
    recorder = Recorder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice about workers
        trainer = pl.Trainer(max_epochs=2, accelerator="cpu", enable_model_summary=False, **quiet)
        trainer.fit(recorder, datamodule=datamodule)
    loader = build(tiny_root, batch_size=10).train_dataloader()
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        assert recorder.seen[epoch] == list(loader.sampler)
    assert recorder.seen[0] != recorder.seen[1]


# --- splits ---


def test_without_val_a_seeded_part_of_train_is_set_aside(
    tmp_path: Path, render_root: Callable, build: Callable
) -> None:
    root = render_root(tmp_path / "root", {"train/a": 20, "train/b": 10})
    first, again, other = (
        build(root, val_ratio=0.2),
        build(root, val_ratio=0.2),
        build(root, val_ratio=0.2, seed=1),
    )
    assert first.class_counts == [16, 8]
    assert np.bincount(first.val_dataset.targets).tolist() == [4, 2]
    assert names(first, "train").isdisjoint(names(first, "val"))
    assert len(names(first, "train", "val")) == 30
    assert names(first, "val") == names(again, "val") != names(other, "val")
    assert len(list((tmp_path / "cache").glob("labelled*.npy"))) == 1  # splits share the decoded images


def test_merge_splits_train_and_val_anew(tiny_root: Path, build: Callable) -> None:
    given, merged = build(tiny_root), build(tiny_root, split="merge", val_ratio=1 / 3)
    assert names(merged, "train", "val") == names(given, "train", "val")
    assert {name.split("/")[0] for name in names(merged, "val")} == {"train", "val"}
    assert np.bincount(merged.val_dataset.targets).tolist() == [5, 4, 2]  # a third of 15, 11, 7


def test_folds_of_train_and_val_together(tiny_root: Path, build: Callable) -> None:
    folds = [build(tiny_root, fold=f"{k}/3") for k in (1, 2, 3)]
    vals = [names(fold, "val") for fold in folds]
    assert sum(len(val) for val in vals) == len(set.union(*vals)) == 24 + 9
    for fold in folds:
        assert names(fold, "train").isdisjoint(names(fold, "val"))
    with pytest.raises(UserError, match="fold='4/3'"):
        build(tiny_root, fold="4/3")


def test_train_fraction_takes_a_stratified_share_of_train_only(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root, train_fraction=0.5)
    assert datamodule.class_counts == [6, 4, 2]
    assert len(datamodule.val_dataset) == 9


def test_one_image_in_a_class_is_trained_on(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    datamodule = build(render_root(tmp_path / "root", {"train/a": 10, "train/b": 1}))
    assert datamodule.class_counts[1] == 1
    assert 1 not in datamodule.val_dataset.targets


def test_test_falls_back_to_val(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    datamodule = build(render_root(tmp_path / "root", {"train/a": 4, "val/a": 3}), "test")
    assert datamodule.test_dataset is None
    assert datamodule.predict_dataset is None
    with pytest.raises(UserError, match="test/NoLabel"):
        datamodule.predict_dataloader()
    assert datamodule.tested_on == "val"
    assert sum(len(batch["image"]) for batch in datamodule.test_dataloader()) == 3


# --- unreadable images ---


@pytest.fixture
def broken_root(tmp_path: Path, render_root: Callable) -> Path:
    """Bad: train/a/001 (text), val/a/000 (empty), test/a/001 (truncated) and test/NoLabel/001 and /003."""
    counts = {"train/a": 4, "train/b": 3, "val/a": 2, "val/b": 2, "test/a": 2, "test/NoLabel": 5}
    root = render_root(tmp_path / "broken", counts)
    break_image(root / "train/a/001.jpg")
    break_image(root / "val/a/000.jpg", b"")
    break_image(root / "test/a/001.jpg", (root / "test/a/001.jpg").read_bytes()[:200])
    for name in ("001.jpg", "003.jpg"):
        break_image(root / "test/NoLabel" / name)
    return root


def test_skip_sets_bad_images_aside_with_one_warning_and_a_list(
    broken_root: Path, tmp_path: Path, build: Callable
) -> None:
    with pytest.warns(UserWarning, match="cannot be read") as caught:
        datamodule = build(broken_root, "fit", report_dir=tmp_path / "report")
    told = [str(warning.message) for warning in caught if "cannot be read" in str(warning.message)]
    assert len(told) == 2
    assert told[0].startswith("3 images cannot be read and are left out")
    assert told[1].startswith("2 images cannot be read and are given the most frequent class")
    assert names(datamodule, "train").isdisjoint({"train/a/001.jpg"})
    assert datamodule.class_counts == [3, 3]
    assert [len(getattr(datamodule, f"{stage}_dataset")) for stage in ("train", "val", "test")] == [6, 3, 1]
    assert [bad.name for bad in datamodule.train_dataset.bad] == ["train/a/001.jpg"]
    assert [bad.why for bad in datamodule.val_dataset.bad] == ["the file is empty"]
    assert [bad.path.name for bad in datamodule.test_dataset.bad] == ["001.jpg"]
    lines = (tmp_path / "report/bad_images.txt").read_text().splitlines()
    assert f"{broken_root}/train/a/001.jpg: not an image in a known format" in lines
    assert f"{broken_root}/val/a/000.jpg: the file is empty" in lines
    assert any(line.startswith(f"{broken_root}/test/a/001.jpg: ") for line in lines)
    images = np.asarray(datamodule.train_dataset.images)
    assert all(image.any() for image in images)  # rows still belong to their paths
    np.testing.assert_array_equal(images[1], decode(datamodule.train_dataset.paths[1], (8, 12)))


def test_raise_names_the_first_bad_images(broken_root: Path, build: Callable) -> None:
    with pytest.raises(UserError, match=r"2 images cannot be read[\s\S]*train/a/001\.jpg[\s\S]*on_bad_image=skip"):
        build(broken_root, on_bad_image="raise")


@pytest.mark.parametrize("on_bad_image", ["skip", "raise"])
@pytest.mark.filterwarnings("ignore:.*cannot be read")
def test_no_unlabelled_file_vanishes(broken_root: Path, build: Callable, on_bad_image: str) -> None:
    datamodule = TrashDataModule(broken_root, image_size=(8, 12), cache_dir=broken_root / "cache")
    datamodule.hparams["on_bad_image"] = on_bad_image
    datamodule.setup("predict")
    dataset = datamodule.predict_dataset
    assert dataset.names == [f"{number:03d}.jpg" for number in range(5)]
    assert [bad.name for bad in dataset.bad] == ["001.jpg", "003.jpg"]
    (batch,) = datamodule.predict_dataloader()
    assert [bool(image.any()) for image in batch["image"]] == [True, False, True, False, True]


@pytest.mark.filterwarnings("ignore:.*cannot be read")
def test_only_bad_images_in_train(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    root = render_root(tmp_path / "root", {"train/a": 1, "val/a": 1})
    break_image(root / "train/a/000.jpg")
    with pytest.raises(UserError, match="no readable training images"):
        build(root).train_dataloader()


@pytest.mark.filterwarnings("ignore:.*cannot be read")
def test_a_mended_file_is_read_again(broken_root: Path, build: Callable) -> None:
    assert build(broken_root).class_counts == [3, 3]
    shutil.copy(broken_root / "train/a/000.jpg", broken_root / "train/a/001.jpg")
    assert build(broken_root).class_counts == [4, 3]


# --- classes and roots ---


def test_class_names_of_a_checkpoint_fix_the_order(tiny_root: Path, build: Callable) -> None:
    order = ["Plastic bag", "Wood", "Metal", "Glass"]
    datamodule = build(tiny_root, class_names=order)
    assert datamodule.class_names == order
    assert datamodule.class_counts == [4, 0, 8, 12]
    assert set(datamodule.train_dataset.targets) == {0, 2, 3}
    with pytest.raises(UserError, match="the checkpoint lacks: Plastic bag"):
        build(tiny_root, class_names=["Glass", "Metal"])


def test_predicting_needs_only_the_images_and_the_class_names(
    tmp_path: Path, render_root: Callable, build: Callable
) -> None:
    root = render_root(tmp_path / "root", {"test/NoLabel": 3})
    datamodule = build(root, "predict", class_names=["a", "b"])
    assert sum(len(batch["image"]) for batch in datamodule.predict_dataloader()) == 3
    assert datamodule.class_counts == [0, 0]
    with pytest.raises(UserError, match="checkpoint"):
        build(root, "predict")
    with pytest.raises(UserError, match="no readable training images"):
        build(root, "fit", class_names=["a", "b"]).train_dataloader()


def test_labelled_test_alone_can_be_tested(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    datamodule = build(render_root(tmp_path / "root", {"test/b": 3}), "test", class_names=["a", "b"])
    (batch,) = datamodule.test_dataloader()
    assert batch["target"].tolist() == [1, 1, 1]


def test_classes_without_images_and_classes_of_val_alone(
    tmp_path: Path, render_root: Callable, build: Callable
) -> None:
    root = render_root(tmp_path / "root", {"train/a": 2, "train/c": 0, "val/b": 2})
    (root / "train/c").mkdir()
    with pytest.warns(UserWarning, match="class") as caught:
        datamodule = build(root)
    assert datamodule.class_names == ["a", "b", "c"]
    assert datamodule.class_counts == [2, 0, 0]
    assert len([warning for warning in caught if "class" in str(warning.message)]) == 2


def test_korean_and_spaced_names_through_the_whole_way(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    nfc, nfd = (unicodedata.normalize(form, "유리병") for form in ("NFC", "NFD"))
    root = render_root(tmp_path / "루트", {"train/Plastic bag": 2, "val/Plastic bag": 1})
    for folder in (f"train/{nfc}", f"train/{nfd}", f"val/{nfd}", "test/NoLabel"):
        (root / folder).mkdir(parents=True)
        shutil.copy(root / "train/Plastic bag/000.jpg", root / folder / f"{nfd} 1.jpg")
    datamodule = build(root)
    assert datamodule.class_names == ["Plastic bag", nfc]
    assert datamodule.class_counts == [2, 2]
    assert datamodule.predict_dataset.names == [f"{nfd} 1.jpg"]  # as on disk: the submission names files


def test_equal_names_below_nolabel_keep_apart(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    root = render_root(tmp_path / "root", {"train/a": 2, "test/NoLabel": 1})
    (root / "test/NoLabel/more").mkdir()
    shutil.copy(root / "train/a/000.jpg", root / "test/NoLabel/more/000.jpg")
    assert build(root).predict_dataset.names == ["000.jpg", "more/000.jpg"]


def test_read_only_root(tiny_root: Path, build: Callable) -> None:
    before = sorted(tiny_root.rglob("*"))
    build(tiny_root)
    assert sorted(tiny_root.rglob("*")) == before  # nothing is written beside the data


def test_missing_root(tmp_path: Path, build: Callable) -> None:
    with pytest.raises(UserError, match="datamodule=demo"):
        build(tmp_path / "missing")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "both"}, "given, merge, all"),
        ({"split": "all", "fold": "1/3"}, "fold=1/3"),
        ({"on_bad_image": "ignore"}, "skip, raise"),
        ({"resize_mode": "crop"}, "stretch, letterbox, landscape"),
        ({"resize_kernel": "lanczos"}, "bilinear, box"),
        ({"sampling": "weighted"}, "none, balanced, smoothed"),
        ({"image_size": [64]}, "height, width"),
        ({"image_size": [0, 64]}, "height, width"),
        ({"train_fraction": 0}, "train_fraction"),
        ({"oversample": 0}, "oversample"),
        ({"oversample": 1.5}, "oversample"),
    ],
)
def test_wrong_settings_name_the_choices(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrashDataModule(tmp_path, **options)


# --- Lightning's contract ---


def test_preparing_and_setting_up_twice_changes_nothing(tiny_root: Path, build: Callable) -> None:
    datamodule = build(tiny_root)
    datasets = [datamodule.train_dataset, datamodule.test_dataset, datamodule.predict_dataset]
    datamodule.prepare_data()
    for stage in ("fit", "validate", "test", "predict"):
        datamodule.setup(stage)
    assert datasets == [datamodule.train_dataset, datamodule.test_dataset, datamodule.predict_dataset]


def test_hyperparameters_are_plain_and_load_with_weights_only(tiny_root: Path, tmp_path: Path) -> None:
    datamodule = TrashDataModule(tiny_root, cache_dir=tmp_path, image_size=(8, 12), augmentation=BatchAugmentation())
    saved = dict(datamodule.hparams)
    assert "augmentation" not in saved
    assert saved["root"] == str(tiny_root)
    assert saved["image_size"] == [8, 12]
    torch.save(saved, tmp_path / "x.pt")
    assert torch.load(tmp_path / "x.pt", weights_only=True) == saved
    again = TrashDataModule(**saved)
    assert again.preprocessing == datamodule.preprocessing


def test_a_val_that_cannot_be_read_is_no_reason_to_cut_train(
    tmp_path: Path, render_root: Callable, build: Callable
) -> None:
    root = render_root(tmp_path / "root", {"train/a": 4, "train/b": 4, "val/a": 1, "val/b": 1})
    for path in (root / "val").rglob("*.jpg"):
        break_image(path)
    with pytest.raises(UserError, match="None of the 2 images in"):
        build(root)
    with pytest.warns(UserWarning, match="left out"):
        assert len(build(root, split="merge").val_dataset) == 2


def test_all_trains_on_train_and_val_and_keeps_none(tiny_root: Path, build: Callable) -> None:
    given, every = build(tiny_root), build(tiny_root, split="all")
    names = {*given.train_dataset.names, *given.val_dataset.names}
    assert {*every.train_dataset.names} == names
    assert len(every.train_dataset) == len(names) == 33
    assert every.class_counts == [15, 11, 7]
    assert not len(every.val_dataset)
    with pytest.raises(UserError, match="keeps no image for validation"):
        every.val_dataloader()


# --- verdicts on labels ---


def test_relabelled_images_change_class_and_dropped_ones_are_in_no_part(
    tiny_root: Path, build: Callable, tmp_path: Path
) -> None:
    before = build(tiny_root)
    rows = [
        "train/Glass/000.jpg,Metal",
        "train/Glass/001.jpg,drop",
        "val/Metal/002.jpg,drop",
        "test/Glass/000.jpg,drop",
    ]
    (tmp_path / "relabel.csv").write_text("\n".join(["file,label", *rows]))
    datamodule = build(tiny_root, relabel=tmp_path / "relabel.csv")
    assert names(datamodule, "train") == names(before, "train") - {"train/Glass/001.jpg"}
    assert names(datamodule, "val", "test") == names(before, "val", "test") - {
        "val/Metal/002.jpg",
        "test/Glass/000.jpg",
    }
    assert datamodule.class_counts == [10, 9, 4]
    position = datamodule.train_dataset.names.index("train/Glass/000.jpg")
    assert datamodule.train_dataset.targets[position] == 1
    assert datamodule.relabelled["dropped"] == 3
    assert datamodule.train_dataset.images.file == before.train_dataset.images.file  # decoded once


def test_a_dropped_image_may_be_broken(tmp_path: Path, render_root: Callable, build: Callable) -> None:
    root = render_root(tmp_path / "data", {"train/Glass": 3, "train/Metal": 3, "val/Glass": 1, "val/Metal": 1})
    break_image(root / "train/Glass/000.jpg")
    (tmp_path / "relabel.csv").write_text("file,label\ntrain/Glass/000.jpg,drop\n")
    datamodule = build(root, relabel=tmp_path / "relabel.csv", on_bad_image="raise")
    assert datamodule.class_counts == [2, 3]
    assert datamodule.train_dataset.bad == []
