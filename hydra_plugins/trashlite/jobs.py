"""Facts that a job knows of itself: resolvers of conf/, checks of its command line, settings and folder.

Hydra imports this module at every start, and wherever its callbacks are unpickled: jobs of all launchers have them.
"""

import logging
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trashlite.errors import UserError
from trashlite.files import CONF
from trashlite.overrides import quote
from trashlite.settings import check_settings
from trashlite.settings.command_line import prepare_command_line
from trashlite.settings.inputs import INPUTS, check_inputs
from trashlite.sweeps.folds import fold_folder

log = logging.getLogger(__name__)
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # set by what starts several processes


def run_dir(resume: str | None, new_folder: str) -> str:
    """A resumed run goes on in its own folder: the one above the checkpoint's."""
    return str(Path(resume).resolve().parent.parent) if resume else new_folder


def sweep_dir(study_name: str | None, new_folder: str) -> str:
    """A search goes on in its own folder when the same command is given again."""
    return f"logs/sweeps/{study_name}" if study_name else new_folder


def sweep_trial() -> dict[str, Any] | None:
    """Trial of this job: `study`, `params`, and `number` or `promoted_from`; None outside an Optuna sweep."""
    trial = _of_sweeper("trial")
    return None if trial is None else OmegaConf.to_container(trial)  # type: ignore[return-value]


def multirun_name() -> str | None:
    """Name of the folder of the Hydra multirun this job belongs to; None in a single run."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return Path(HydraConfig.get().sweep.dir).resolve().name


def is_trial() -> bool:
    """Whether this job is a trial of an Optuna study, which may be pruned; a promoted one is not."""
    return "number" in (sweep_trial() or {})


def pruned_trial() -> dict[str, Any] | None:
    """Folder of the sweep and number of the trial that this job is, where its study has a pruner; else None."""
    if not is_trial() or _of_sweeper("pruner") is None:
        return None
    return {"folder": str(Path(HydraConfig.get().sweep.dir).resolve()), "number": (sweep_trial() or {})["number"]}


def _of_sweeper(name: str) -> Any:
    if not HydraConfig.initialized():
        return None
    return OmegaConf.select(HydraConfig.get(), f"sweeper.{name}")  # type: ignore[arg-type]


def show_help(*, _root_: DictConfig) -> str:
    """Page of --help, as a template of Hydra, which reads `$` as the start of a name."""
    from trashlite.settings.help_page import help_page

    settings: dict[str, Any] = OmegaConf.to_container(_root_)  # type: ignore[assignment]
    choices = settings.pop("hydra")["runtime"]["choices"]
    width = min(max(shutil.get_terminal_size((100, 24)).columns, 80), 110)
    return help_page(CONF, choices, settings, width).replace("$", "$$")


OmegaConf.register_new_resolver("show_help", show_help, replace=True)
OmegaConf.register_new_resolver("run_dir", run_dir, replace=True)
OmegaConf.register_new_resolver("sweep_dir", sweep_dir, replace=True)
OmegaConf.register_new_resolver("hydra_subdir", lambda resume: ".hydra_resumed" if resume else ".hydra", replace=True)
OmegaConf.register_new_resolver("pruned_trial", pruned_trial, replace=True)
OmegaConf.register_new_resolver("multirun_name", multirun_name, replace=True)
OmegaConf.register_new_resolver("fold_folder", fold_folder, replace=True)
OmegaConf.register_new_resolver("pruner", lambda: _of_sweeper("pruner"), replace=True)


@contextmanager
def quiet_trial() -> Iterator[None]:
    """Keep what a trial prints (bars, tables, its result) off the screen, where its search has a line for it.

    Warnings are logged, and still seen.
    """
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere) if is_trial() else nullcontext(),
    ):
        yield


def with_seed(cfg: DictConfig) -> DictConfig:
    """The configuration with a seed, drawn where it is null: what the run leaves tells how to repeat it.

    Raises:
        UserError: several processes that were not started by the first one would draw different seeds.
    """
    if cfg.seed is not None:
        return cfg
    cfg = cfg.copy()
    if is_first_process():
        cfg.seed = secrets.randbelow(2**32)
        log.info("seed=null: drew seed=%d", cfg.seed)
    elif "PL_GLOBAL_SEED" in os.environ:  # Lightning's, of the process that started this one
        cfg.seed = int(os.environ["PL_GLOBAL_SEED"])
    else:
        raise UserError("seed=null is for runs of one machine: processes that are started apart need a seed in common.")
    return cfg


FIRST_FILES = 2**16  # bytes: more than the settings of any run


class CheckOutputFolder(Callback):
    """Stop with one clear line before a folder is made: it cannot be written, or a file to start from is missing."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            check_job(config)
            check_unused(config)
        except UserError as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(1)
        self.check(config.hydra.run.dir, "hydra.run.dir")
        named = OmegaConf.to_container(config)["output_dir"]  # type: ignore[index, call-overload]
        if "${" not in named:  # by default that of Hydra
            self.check(named, "output_dir")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:  # before Hydra does, which would tell by a traceback
            OmegaConf.to_container(config.hydra.sweeper, resolve=True)
        except OmegaConfBaseException as error:
            reason = str(error).partition("\n")[0]
            sys.stderr.write(f"{error.full_key}: {reason}\n")
            sys.exit(1)
        self.check(config.hydra.sweep.dir, "hydra.sweep.dir")

    @staticmethod
    def check(folder: str, key: str) -> None:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(FIRST_FILES))  # Hydra's own, of whose failure it would tell by a traceback
        except OSError as error:
            sys.stderr.write(f"Cannot write to {folder}: {error.strerror}. Choose another folder with {key}=PATH.\n")
            sys.exit(1)


def command_line(arguments: Sequence[str]) -> list[str]:
    """Arguments for Hydra; ends with one clear line for a setting that it cannot read, mostly for want of quotes."""
    prepared, parser = prepare_command_line(arguments, CONF), OverridesParser.create()
    for argument in prepared:
        if re.match(r"[+~]{0,2}[A-Za-z][\w./@]*=", argument):
            try:
                parser.parse_override(argument)
            except HydraException:
                key, _, value = argument.partition("=")
                sys.exit(
                    f"{argument} cannot be read as a setting. A text with spaces, commas, brackets, = or the like has "
                    f'quotes of its own within the shell\'s: "{key}={quote(value)}"'
                )
    return prepared


def check_job(config: DictConfig) -> None:
    """Check the settings of a job and the files it reads, see `check_settings` and `check_inputs`."""
    settings: dict[str, Any] = OmegaConf.to_container(config)  # type: ignore[assignment]
    check_settings({key: node for key, node in settings.items() if key != "hydra"}, partial(plain_value, config))
    check_inputs({key: plain_value(config, key) for key in INPUTS})


def check_unused(config: DictConfig) -> None:
    """Check that training will not write over the checkpoints of another run.

    Raises:
        UserError: the run's folder, which somebody named, has some.
    """
    last = Path(config.hydra.run.dir) / "checkpoints" / "last.ckpt"
    if config.fit and not config.resume and not config.show_data and last.is_file():
        raise UserError(
            f"hydra.run.dir={config.hydra.run.dir} holds a run already: go on with it by resume={last}, or name "
            "another folder."
        )


def plain_value(config: DictConfig, key: str) -> Any:
    """Value of a dotted key in plain containers, references resolved; `???` where it is missing."""
    if OmegaConf.is_missing(config, key):
        return "???"
    found = OmegaConf.select(config, key)
    return OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found


def is_first_process() -> bool:
    """Whether this is, of the processes that train together, the one that evaluates, writes and speaks."""
    return next((os.environ[name] for name in RANKS if name in os.environ), "0") == "0"


def exit_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does, with exit code 143; Lightning alone would make it 0."""

    def stop(signum: int, frame: Any) -> None:
        sys.exit(128 + signum)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)
