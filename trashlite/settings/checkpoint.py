"""Settings of a network that a checkpoint holds: what may be done with one of a stranger."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trashlite.errors import UserError
from trashlite.settings.data import Mean, Std
from trashlite.settings.types import Count, ResizeKernel, ResizeMode, Text, mistake

Side = Annotated[int, Field(ge=1, le=4096)]


class Plain(BaseModel):
    """Settings that must be there; others may."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class Preprocessing(Plain):
    image_size: Annotated[list[Side], Field(min_length=2, max_length=2)]
    resize_mode: ResizeMode
    kernel: ResizeKernel = "bilinear"
    mean: Mean
    std: Std


class Backbone(Plain):
    name: Text
    kwargs: dict[str, Any]


class Settings(Plain):
    backbone: Backbone
    class_names: Annotated[list[Text], Field(min_length=2)]
    class_counts: list[Count] | None = None
    preprocessing: Preprocessing
    rank_plan: dict[str, Any] | None = None

    @model_validator(mode="after")
    def classes_are_told_once(self) -> Self:
        names, counts = self.class_names, self.class_counts
        if len({*names}) < len(names) or (counts is not None and len(counts) != len(names)):
            raise mistake("a class is there twice, or has no count")
        return self


class DataSet(Plain):
    root: Text | None = None
    relabel: Text | None = None


class Configuration(Plain):
    datamodule: DataSet = DataSet()


class Content(Plain):
    """Content of a checkpoint that tells of the network; older ones have no configuration."""

    hyper_parameters: Settings
    config: Configuration = Configuration()
    epoch: Count = 0
    optimizer_states: list[Any] = []
    lr_schedulers: list[Any] = []
    callbacks: dict[str, Any] = {}
    loops: dict[str, Any] = {}


def check_content(content: Mapping[str, Any], path: str | Path) -> None:
    """Check the settings of a checkpoint's network.

    Raises:
        UserError: the first that no network has.
    """
    try:
        Content.model_validate(dict(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key, value = ".".join(map(str, first["loc"])), str(first["input"])[:80]
        raise UserError(f"The checkpoint {path} cannot be used: {key} in it is {value} ({first['msg']}).") from error
