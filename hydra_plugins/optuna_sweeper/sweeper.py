"""The plugin that Hydra finds; all the rest waits until a search runs, because Hydra imports it at every start."""

import logging
import os
import sys
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.optuna_sweeper._process import JobProcess
from hydra_plugins.trashlite.jobs import exit_on_sigterm
from hydra_plugins.trashlite.report import no_report, report_now
from trashlite.errors import UserError

log = logging.getLogger(__name__)

# Nodes that take any key from the command line: figures, and arguments of whatever class is chosen.
OPEN = {name: DictConfig({}, flags={"struct": False}) for name in ("sampler", "pruner", "constraints", "params")}
ConfigStore.instance().store(group="hydra/sweeper", name="open_nodes", node=DictConfig(OPEN))


class OptunaSweeper(Sweeper):
    """Search with Optuna; `settings` are those of conf/hydra/sweeper/optuna.yaml."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context = config, hydra_context
        hydra_context.callbacks.callbacks.append(JobProcess())  # goes with every job to wherever it runs
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run what the study still misses, then the promoted jobs.

        Raises:
            SystemExit: a mistake in the settings, or trials are missing at the end; its message is the last line.
            CompactHydraException: the same, where HYDRA_FULL_ERROR asks for the whole stack.
        """
        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        log.info(
            "Search %s of %s trials; folder %s",
            self.settings["study_name"],
            self.settings["n_trials"],
            self.config.hydra.sweep.dir,
        )

        from hydra_plugins.optuna_sweeper._search import Search  # a second
        from hydra_plugins.optuna_sweeper._settings import Settings

        exit_on_sigterm()
        search = None
        try:
            settings = Settings.create(self.settings, self.config)
            search = Search(settings, self.config, self.hydra_context.config_loader, self.launcher, arguments)
            search.run()
        except UserError as error:
            if search and search.has_begun:
                report_now(search.folder)
            no_report()  # at the end of the process, where it would stand below this message
            if "HYDRA_FULL_ERROR" not in os.environ:
                sys.exit(str(error))  # without Hydra's lines below it
            raise CompactHydraException(str(error)) from error
