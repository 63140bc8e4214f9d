"""Kinds of values that settings share, and groups of settings."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, model_validator
from pydantic_core import PydanticCustomError

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Below1 = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=0)]
AtLeast1 = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32, description="a whole number from 0 to 4294967295")]

Batches = Annotated[
    AtLeast1 | Annotated[float, Field(gt=0, le=1)],
    Field(description="a number of batches, or a share of them such as 0.1"),
]

ResizeMode = Literal["stretch", "letterbox", "landscape"]
ResizeKernel = Literal["bilinear", "box"]
Side = Annotated[int, Field(ge=8, le=1024)]
ImageSize = Annotated[
    list[Side], Field(min_length=2, max_length=2, description="[height, width] in pixels, each from 8 to 1024")
]

# Figures that are measured after each epoch / at the end of a run.
VAL_FIGURE = r"val/(loss|acc|f1|score|f1_.+)"
EpochFigure = Annotated[
    str,
    Field(
        pattern=rf"^({VAL_FIGURE}|train/(loss|acc|f1))$",
        description="one of val/loss, val/acc, val/f1, val/score, val/f1_<class>, train/loss, train/acc, train/f1",
    ),
]


class Group(BaseModel):
    """A group of settings; a key that is not listed is a mistake, a whole number is no text and no truth value."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


INSTRUCTIONS = ("_convert_", "_recursive_", "_partial_")  # to Hydra


class Part(Group):
    """Settings of a class that Hydra instantiates; those of a class that is not ours are its own affair."""

    targets: ClassVar[tuple[str, ...]] = ()
    target: str | None = Field(None, alias="_target_")

    @model_validator(mode="wrap")
    @classmethod
    def without_instructions(cls, value: Any, handler: ModelWrapValidatorHandler["Part"]) -> "Part":
        if not isinstance(value, dict):
            return handler(value)
        if value.get("_target_") not in (None, *cls.targets):
            return cls.model_construct(target=value["_target_"])
        return handler({key: setting for key, setting in value.items() if key not in INSTRUCTIONS})

    @property
    def is_known(self) -> bool:
        """Whether the settings are those of a class of ours, and have been checked."""
        return self.target in (None, *self.targets)


def mistake(message: str) -> PydanticCustomError:
    """Error of a validator, told in these words after the key and its value."""
    return PydanticCustomError("mistake", "{message}", {"message": message})
