#!/usr/bin/env python3
"""EvalHub's only script. `python3 manage.py demo` and `python3 manage.py test` work on a fresh machine."""

import os
import sys

if sys.version_info < (3, 7):  # older than what the search for a newer one can be written in
    sys.exit(
        "EvalHub needs Python 3.12 or newer, and this is %d.%d: run it as python3.12 manage.py" % sys.version_info[:2]
    )

from evalhub.bootstrap import CannotStart, prepare

MODES = {"demo": "demo", "test": "test"}


def main() -> None:
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    try:
        prepare(command)
    except CannotStart as reason:
        sys.exit(str(reason))
    except KeyboardInterrupt:
        sys.exit(130)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evalhub.settings")
    if command in MODES:
        os.environ["EVALHUB_MODE"] = MODES[command]
    os.environ.setdefault("EVALHUB_MODE", "development")
    from django.core.management import execute_from_command_line

    from evalhub.management.sentences import one_sentence_each

    with one_sentence_each():
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
