"""Settings of the tests: a server of their own (see evalhub.settings), and passwords that are cheap to check."""

import os

os.environ["EVALHUB_MODE"] = "test"

from evalhub.settings import *  # noqa: F403
from evalhub.settings import DATABASES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Tests of what happens at once use dozens of threads, on machines that are busy with other tests.
DATABASES["default"]["OPTIONS"]["pool"] |= {"max_size": 50, "timeout": 60}
