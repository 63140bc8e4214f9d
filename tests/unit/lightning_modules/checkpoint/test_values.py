"""Checkpoints of strangers: values are taken from them, never calls, look-ups or places to write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from lightning_modules.checkpoint.adopt import adopt_checkpoint, resumed_config
from lightning_modules.classifier import TrashClassifier
from lightning_modules.distiller import load_teacher
from tests.harness import PROJECT, compose_config
from trashlite.backbones.weights import load_weights
from trashlite.errors import UserError
from trashlite.network import load_network, read_checkpoint

Write = Callable[..., Path]
CALL = {"_target_": "torch.hub.load", "repo_or_dir": "evil", "source": "local", "model": "pwn"}


@pytest.fixture(scope="module")
def honest() -> dict[str, Any]:
    """Checkpoint of a run of the default configuration."""
    cfg = compose_config("backbone.name=lcnet_035", "datamodule=trash", "datamodule.root=photos")
    backbone = {"name": "lcnet_035", "kwargs": {}, "pretrained": False, "weights": None}
    preprocessing = {"image_size": [32, 32], "resize_mode": "stretch", "mean": [0.5] * 3, "std": [0.5] * 3}
    settings = {key: OmegaConf.to_container(cfg[key]) for key in ("loss", "optimizer", "scheduler", "score")}
    model = TrashClassifier(backbone, ["a", "b"], [2, 1], preprocessing, **settings)
    return {
        "state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams), "epoch": 0, "loops": {},
        "optimizer_states": [], "config": OmegaConf.to_container(cfg),
    }  # fmt: skip


def changed(checkpoint: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy with another value under a dotted key."""
    first, _, rest = key.partition(".")
    if key in checkpoint or not rest:
        return {**checkpoint, key: value}
    return {**checkpoint, first: changed(checkpoint.get(first, {}), rest, value)}


@pytest.fixture
def write(honest: dict[str, Any], tmp_path: Path) -> Write:
    """Write a checkpoint that differs from an honest one at a dotted key."""

    def make(key: str = "epoch", value: Any = 0) -> Path:
        torch.save(changed(honest, key, value), tmp_path / "file.ckpt")
        return tmp_path / "file.ckpt"

    return make


def targets(node: Any) -> set[str]:
    if isinstance(node, dict):
        return {str(node[key]) for key in node if key == "_target_"}.union(*map(targets, node.values()))
    return set().union(*map(targets, node)) if isinstance(node, list) else set()


def texts(node: Any) -> set[str]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return set().union(*map(texts, children)) if children else {str(node)}


DEFAULT = compose_config()
OURS = compose_config("datamodule=trash", "lightning_module=distiller")
KNOWN = targets(OmegaConf.to_container(OURS)) | {
    "datamodules.demo.DemoDataModule",
    "lightning_modules.classifier.TrashClassifier",
}
LOOKED_UP = {text for text in texts(OmegaConf.to_container(OURS)) if "${" in text}

HOSTILE = [
    ("config.datamodule._target_", "torch.hub.load"),
    ("config.datamodule", "text"),
    ("config.datamodule.augmentation", CALL),
    ("config.datamodule.root", CALL),
    ("config.datamodule.image_size", [CALL, 3]),
    ("config.datamodule.sampling", {"nested": {"deep": [CALL]}}),
    ("config.datamodule.root", "${oc.env:HOME}"),
    ("config.datamodule.report_dir", "/etc"),
    ("config.datamodule.cache_dir", "/etc"),
]  # fmt: skip
RESUMED = [
    ("config.lightning_module._target_", "torch.hub.load"),
    ("config.lightning_module.loss", CALL),
    ("config.trainer", 3),
    ("config.optimizer", None),
    ("config.callbacks.mine", CALL),
    ("config.callbacks.ema._target_", "os.system"),
    ("config.callbacks.best_checkpoint.dirpath", "/etc"),
    ("config.callbacks.best_checkpoint.filename", "/etc/best"),
    ("config.logger.csv", {**CALL, "_partial_": False}),
    ("config.trainer._args_", [CALL]),
    ("config.trainer.profiler", CALL),
    ("config.trainer.default_root_dir", "/etc"),
    ("config.output_dir", "/etc"),
    ("config.notes", "${oc.env:HOME}"),
    ("config.loss", {"name": "cross_entropy", **CALL}),
    ("config.../../evil", CALL),
    ("config.unknown", CALL),
]  # fmt: skip


def assert_ours(config: Any) -> None:
    plain = OmegaConf.to_container(config)
    assert targets(plain) <= KNOWN
    assert {text for text in texts(plain) if "${" in text} <= LOOKED_UP
    assert not [text for text in texts(plain) if text.startswith("/etc")]
    assert "_args_" not in str(plain)
    assert "_partial_" not in str(plain)


def take(read: Callable[..., Any], checkpoint: dict[str, Any]) -> Any:
    """The configuration it gives, or the message of its refusal."""
    try:
        return read(DEFAULT, checkpoint, [])
    except UserError as error:
        return str(error)


@pytest.mark.parametrize(("key", "value"), HOSTILE)
def test_a_checkpoint_to_start_from_or_to_submit_gives_values_only(
    key: str, value: Any, honest: dict[str, Any]
) -> None:
    given = take(adopt_checkpoint, changed(honest, key, value))
    if isinstance(given, str):
        assert "datamodule" in given
    else:
        assert_ours(given)


@pytest.mark.parametrize(("key", "value"), HOSTILE + RESUMED)
def test_a_checkpoint_to_resume_gives_values_only(key: str, value: Any, honest: dict[str, Any]) -> None:
    given = take(resumed_config, changed(honest, key, value))
    if isinstance(given, str):
        assert key.split(".")[1] in given
    else:
        assert_ours(given)


def test_an_honest_checkpoint_gives_its_values(honest: dict[str, Any]) -> None:
    checkpoint = changed(honest, "config.trainer.limit_train_batches", 3)
    checkpoint = changed(checkpoint, "config.callbacks.ema", None)
    checkpoint = changed(checkpoint, "config.lightning_module", {
        "_target_": "lightning_modules.distiller.Distiller", "teacher": "t.ckpt", "temperature": 2.0,
    })  # fmt: skip
    cfg = resumed_config(DEFAULT, checkpoint, [])
    assert (cfg.datamodule._target_, cfg.datamodule.root) == ("datamodules.trash.TrashDataModule", "photos")
    assert (cfg.lightning_module._target_, cfg.lightning_module.teacher, cfg.lightning_module.temperature) == (
        "lightning_modules.distiller.Distiller", "t.ckpt", 2.0,
    )  # fmt: skip
    assert (cfg.trainer.limit_train_batches, cfg.callbacks.ema) == (3, None)
    assert cfg.datamodule.class_names == ["a", "b"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hyper_parameters._instantiator", "evil.build"),
        ("hyper_parameters.preprocessing.mean", CALL),
        ("hyper_parameters.backbone.kwargs.drop_rate", "${oc.env:HOME}"),
        ("hyper_parameters.backbone.kwargs.checkpoint_path", "evil.pth"),
        ("hyper_parameters.backbone.name", "hf-hub:evil/net"),
        ("hyper_parameters.backbone.name", "local-dir:evil"),
        ("hyper_parameters.plans", [{"ranks": {"layers": {"__class__": {"kind": "svd", "ranks": [1]}}}}]),
        ("hyper_parameters.plans", [{"channels": {"layers": {"__class__": {"inputs": [0]}}, "dropped": []}}]),
        ("hyper_parameters.plans", [{"channels": {"layers": {"conv_stem": {"outputs": [0]}}, "dropped": []}}]),
        ("hyper_parameters.class_names", ["${oc.env:HOME}", "b"]),
        ("hyper_parameters.class_names", ["a", "a"]),
        ("hyper_parameters.class_names", ["a"]),
        ("hyper_parameters.backbone", "lcnet_035"),
        ("hyper_parameters.backbone.kwargs", [1]),
        ("hyper_parameters.rank_plan", "x"),
        ("hyper_parameters.preprocessing.image_size", [100_000, 100_000]),
        ("hyper_parameters.preprocessing.image_size", "large"),
        ("hyper_parameters.preprocessing.resize_mode", "squash"),
        ("hyper_parameters.preprocessing.std", [0.0, 0.0, 0.0]),
        ("config", "none"),
        ("hyper_parameters", None),
        ("state_dict", {"model.conv_stem.weight": torch.zeros(1)}),
        ("state_dict.surplus", torch.zeros(1)),
        ("state_dict", {}),
        ("state_dict", {5: torch.zeros(1)}),
        ("state_dict", {"model.conv_stem.weight": torch.zeros(2, 2).to_sparse()}),
        ("state_dict", {"model.conv_stem.weight": torch.zeros(2, device="meta")}),
        ("state_dict", {"model.conv_stem.weight": torch.full([2], complex(torch.nan))}),
        ("config", None),
        ("config", {"datamodule": None}),
        ("config", {"datamodule": 5}),
        ("config.datamodule.root", 5),
    ],
)
def test_settings_and_weights_of_a_network_are_checked_by_every_reader(key: str, value: Any, write: Write) -> None:
    path = write(key, value)
    with pytest.raises(UserError):
        TrashClassifier.load_from_checkpoint(path)
    if "surplus" not in key:
        with pytest.raises(UserError):
            load_teacher(str(path), ["a", "b"])
    assert not list(path.parent.glob("*evil*"))


def test_weights_come_from_the_checkpoint_alone(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        "hyper_parameters.backbone", {"name": "lcnet_035", "kwargs": {}, "pretrained": True, "weights": "/etc/passwd"}
    )
    network = load_network(read_checkpoint(path))
    state = torch.load(path, weights_only=True)["state_dict"]
    assert all(torch.equal(value, state[f"model.{name}"]) for name, value in network.state_dict().items())


def test_no_reader_unpickles_objects(tmp_path: Path) -> None:
    class Stranger:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "file.ckpt"
    torch.save({"hyper_parameters": Stranger()}, path)
    model = torch.nn.Linear(1, 1)
    for read in (read_checkpoint, TrashClassifier.load_from_checkpoint, lambda p: load_weights(model, p)):
        with pytest.raises(UserError):
            read(path)
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_not_numbers_are_refused(write: Write, honest: dict[str, Any]) -> None:
    state = {name: tensor.clone() for name, tensor in honest["state_dict"].items()}
    state["model.conv_stem.weight"][0] = torch.nan
    with pytest.raises(UserError, match=r"not finite.*model\.conv_stem\.weight"):
        read_checkpoint(write("state_dict", state))


def test_networks_that_give_no_numbers_are_refused(write: Write, honest: dict[str, Any]) -> None:
    state = {name: tensor.clone() for name, tensor in honest["state_dict"].items()}
    state["model.bn1.running_var"][0] = -5
    for path in (write("state_dict", state), write("hyper_parameters.preprocessing.std", [1e-45, 1, 1])):
        with pytest.raises(UserError):
            load_network(read_checkpoint(path))


def test_a_changed_byte_is_noticed(write: Write, honest: dict[str, Any]) -> None:
    path = write()
    content = bytearray(path.read_bytes())
    position = content.find(honest["state_dict"]["model.conv_head.weight"].numpy().tobytes())
    assert position > 0
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        read_checkpoint(path)
    with pytest.raises(UserError, match="has changed since it was written"):
        load_weights(torch.nn.Linear(1, 1), path)


@pytest.mark.parametrize("path", sorted((PROJECT / "results").glob("*/*/*.ckpt")), ids=lambda path: path.parent.name)
def test_shipped_checkpoints_of_earlier_versions_speak_for_their_data(path: Path) -> None:
    checkpoint = read_checkpoint(path)
    cfg = adopt_checkpoint(DEFAULT, checkpoint, [])
    assert_ours(cfg)
    stored = checkpoint["config"]["datamodule"]
    assert (cfg.datamodule.root, cfg.datamodule.batch_size) == (stored["root"], stored["batch_size"])
    assert cfg.datamodule._target_ == "datamodules.trash.TrashDataModule"
    with pytest.raises(UserError, match="without the state of training"):
        resumed_config(DEFAULT, checkpoint, [])
    # Had it that state, it could be gone on with.
    whole = {**checkpoint, "optimizer_states": [], "loops": {}}
    cfg = resumed_config(DEFAULT, whole, [])
    assert_ours(cfg)
    assert cfg.trainer.max_epochs == checkpoint["config"]["trainer"]["max_epochs"]
    assert cfg.lightning_module._target_.rpartition(".")[2] in ("Distiller", "TrashClassifier")


def test_a_callback_that_got_another_name_is_known_by_its_former_one(honest: dict[str, Any]) -> None:
    old = changed(honest, "config.callbacks.media", {"_target_": "callbacks.media.WandbMedia", "mistakes": 7})
    config = resumed_config(DEFAULT, old, [])
    assert config.callbacks.media._target_ == "callbacks.media.ResultPictures"
    assert config.callbacks.media.mistakes == 7


@pytest.mark.parametrize(
    ("key", "value"), [("loss", None), ("loss", {"name": "nope"}), ("class_counts", "x"), ("class_counts", [1, 2, 3])]
)
def test_settings_of_training_that_do_not_work_are_told(key: str, value: Any, write: Write) -> None:
    path = write(f"hyper_parameters.{key}", value)
    with pytest.raises(UserError):
        TrashClassifier.load_from_checkpoint(path)


def test_a_text_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "file.ckpt").write_text("hello\n")
    with pytest.raises(UserError, match="is no checkpoint"):
        read_checkpoint(tmp_path / "file.ckpt")
