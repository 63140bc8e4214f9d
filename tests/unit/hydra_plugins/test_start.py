"""Our plugins as Hydra finds them at its start."""

import subprocess
import sys

from tests.harness import HANGS, PROJECT


def test_the_start_imports_neither_optuna_nor_torch_and_a_report_no_torch() -> None:
    code = (
        "import sys; from hydra.core.plugins import Plugins; from hydra.plugins.sweeper import Sweeper; "
        "names = [plugin.__name__ for plugin in Plugins.instance().discover(Sweeper)]; "
        "assert 'OptunaSweeper' in names, names; assert not {'optuna', 'torch', 'sqlalchemy'} & set(sys.modules)\n"
        "import hydra_plugins.trashlite._track, trashlite.reports.sweep.report, trashlite.reports.compare\n"
        "assert not {'torch', 'wandb'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT, timeout=HANGS)
