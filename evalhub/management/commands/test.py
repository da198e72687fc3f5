import os
import subprocess
import sys

from django.conf import settings
from django.core.management.base import BaseCommand

from evalhub.management.browser import NoBrowser, bring_browser

CHECKS = {
    "ruff": ["ruff", "check", "."],
    "mypy": ["mypy"],
    "the check for missing migrations": ["manage.py", "makemigrations", "--check", "--dry-run"],
}


class Command(BaseCommand):
    """In place of Django's own: everything that must be true of a change, closing with pytest's last line."""

    help = "Checks and tests everything. What follows is for pytest: manage.py test tests/results -k counters"

    def run_from_argv(self, argv: list[str]) -> None:
        if "--help" in argv[2:] or "-h" in argv[2:]:
            super().run_from_argv(argv)
        try:
            sys.exit(self.check_and_test(argv[2:]))
        except KeyboardInterrupt:
            sys.exit(130)

    def check_and_test(self, arguments: list[str]) -> int:
        try:
            os.environ["EVALHUB_CHROMIUM"] = bring_browser()
        except NoBrowser as reason:
            self.stderr.write(str(reason))
            return 1
        for name, command in CHECKS.items():
            code = self.run(command)
            if code != 0:
                self.stderr.write(f"{name} found what is told above; pytest was not started.")
                return code
        parallel = [] if arguments else ["-n", "auto"]  # a chosen few start faster in one process
        return self.run(["pytest", *parallel, *arguments])

    def run(self, command: list[str]) -> int:
        module = [] if command[0] == "manage.py" else ["-m"]
        self.stderr.write(f"$ {' '.join(command)}")
        self.stderr.flush()
        return subprocess.run([sys.executable, *module, *command], cwd=settings.BASE_DIR).returncode
