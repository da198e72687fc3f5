import contextlib
import os
import signal
import subprocess
import sys

from django.conf import settings
from django.core.management.base import BaseCommand

from evalhub.database.postgres import PostgresError, Server
from evalhub.management.browser import NoBrowser, bring_browser

CHECKS = {
    "ruff": ["ruff", "check", "."],
    "mypy": ["mypy"],
    "the check for missing migrations": ["manage.py", "makemigrations", "--check", "--dry-run"],
}

TIME_TO_STOP = 30  # seconds


class Command(BaseCommand):
    """In place of Django's own: everything that must be true of a change, closing with pytest's last line."""

    help = "Checks and tests everything. What follows is for pytest: manage.py test tests/results -k counters"

    def run_from_argv(self, argv: list[str]) -> None:
        if "--help" in argv[2:] or "-h" in argv[2:]:
            super().run_from_argv(argv)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)  # SIGINT too: it is ignored in a shell's background
        try:
            if settings.EMBEDDED_POSTGRES is not None:
                Server.at(**settings.EMBEDDED_POSTGRES).join()  # so that it ends with us, whatever happens to the tests
            sys.exit(self.check_and_test(argv[2:]))
        except PostgresError as reason:
            sys.exit(str(reason))
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
        # A chosen few start faster in one process.
        parallel = [] if arguments else ["-n", "auto", "--dist", "loadgroup"]
        return self.run(["pytest", *parallel, *arguments])

    def run(self, command: list[str]) -> int:
        module = [] if command[0] == "manage.py" else ["-m"]
        self.stderr.write(f"$ {' '.join(command)}")
        self.stderr.flush()
        environment = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
        tool = subprocess.Popen([sys.executable, *module, *command], cwd=settings.BASE_DIR, env=environment)
        try:
            return tool.wait()
        except KeyboardInterrupt:
            tool.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                tool.wait(TIME_TO_STOP)
            raise
        finally:
            tool.kill()
            tool.wait()  # or it still counts as somebody who needs the database
