"""Settings of the tests: a server of their own (see evalhub.settings), and passwords that are cheap to check."""

import os

os.environ["EVALHUB_MODE"] = "test"

from evalhub.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
