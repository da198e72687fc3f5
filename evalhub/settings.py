"""Settings. Everything that differs between installations comes from the environment.

EVALHUB_MODE says what is being run. `production` is what a start without it means: it needs SECRET_KEY and
ALLOWED_HOSTS, and speaks https only. manage.py sets `development`; `manage.py demo` sets `demo`, which is like
production, but over http on this machine.
"""

import secrets
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP

from evalhub.database.pooling import check_connection
from evalhub.database.postgres import Server
from evalhub.environment import (
    read_choice,
    read_database_url,
    read_flag,
    read_folder,
    read_list,
    read_networks,
    read_number,
    read_places,
    read_text,
    read_web_address,
)

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = read_folder("EVALHUB_VAR", BASE_DIR / "var")  # everything that EvalHub writes on this machine


def local_secret() -> str:
    """The secret of a machine that is not production: made once, readable by its owner only."""
    file = VAR_DIR / "secret_key"
    if not file.exists():
        try:
            VAR_DIR.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImproperlyConfigured(
                f"EVALHUB_VAR is {str(VAR_DIR)!r}, and cannot be made: {error.strerror}"
            ) from None
        made = VAR_DIR / f".secret_key.{secrets.token_hex(8)}"
        made.touch(mode=0o600)
        made.write_text(secrets.token_urlsafe(50))
        try:
            file.hardlink_to(made)  # the first of several starts wins, and nobody reads half a key
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return file.read_text()


MODE = read_choice("EVALHUB_MODE", ("production", "demo", "development", "test"), "production")
PRODUCTION = MODE == "production"
DEBUG = read_flag("EVALHUB_DEBUG", False) and MODE == "development"

LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
SECRET_KEY = read_text("SECRET_KEY", None if PRODUCTION else local_secret())
SECRET_KEY_FALLBACKS = read_list("SECRET_KEY_FALLBACKS", [])
ALLOWED_HOSTS = read_list("ALLOWED_HOSTS", None if PRODUCTION else LOCAL_HOSTS)

# --- applications -----------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "evalhub.accounts.apps.ConsoleConfig",  # Django's admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "procrastinate.contrib.django",
    "evalhub.accounts",
    "evalhub.audit",
    "evalhub.web",
    "evalhub.database",
    "evalhub.importers",
    "runs",
    "results",
    "evalhub",
]

MIDDLEWARE = [
    "evalhub.web.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "evalhub.web.middleware.HostMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "evalhub.accounts.middleware.ActorMiddleware",
    "evalhub.web.time_zones.TimeZoneMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "evalhub.web.middleware.NotAllowedMiddleware",
]

ROOT_URLCONF = "evalhub.urls"
WSGI_APPLICATION = "evalhub.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "evalhub.web.context.shell",
                "runs.current.current",
            ],
            "builtins": ["evalhub.web.templatetags.evalhub"],
        },
    },
]

# --- database ---------------------------------------------------------------------------------------------------------

# Short time-outs: a database that is away is told at once, and found again at once when it is back.
POOL = {
    "min_size": 0,
    "max_size": read_number("EVALHUB_POOL_SIZE", 10, least=1),
    "timeout": 5,
    "reconnect_timeout": 5,
    "check": check_connection,
}
# How often a connection asks the same before PostgreSQL keeps its plan (evalhub.database.prepared). Poolers between
# EvalHub and PostgreSQL that hand out connections by transaction must know prepared statements, or this be off.
PREPARING = {"prepare_threshold": 5 if read_flag("EVALHUB_PREPARED_STATEMENTS", True) else None}


def choose_database() -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The database of DATABASE_URL, else our own server's; and, for that one, where it lives."""
    pooled = {"CONN_MAX_AGE": 0}  # the pool keeps them, and tries each
    named = read_database_url("DATABASE_URL")
    if named is not None:
        options = {**named.pop("OPTIONS"), **PREPARING, "pool": POOL}
        return {"ENGINE": "django.db.backends.postgresql", **pooled, **named, "OPTIONS": options}, None
    # Tests have a server of their own, that need not survive a power cut.
    embedded: dict[str, Any] = {
        "folder": VAR_DIR / ("test-postgres" if MODE == "test" else "postgres"),
        "durable": MODE != "test",
    }
    server = Server.at(**embedded)
    return {
        "ENGINE": "evalhub.database.engine",
        **pooled,
        "NAME": server.DATABASE,
        "USER": server.USER,
        "HOST": str(server.socket_folder),
        "OPTIONS": {**PREPARING, "pool": POOL},
    }, embedded


DATABASE, EMBEDDED_POSTGRES = choose_database()
DATABASES = {"default": DATABASE}

# --- work beyond a request --------------------------------------------------------------------------------------------

PROCRASTINATE_AUTODISCOVER_MODULE_NAME = ""
PROCRASTINATE_IMPORT_PATHS = ["evalhub.worker", "evalhub.importers.tasks"]
PROCRASTINATE_WORKER_DEFAULTS = {"concurrency": read_number("EVALHUB_WORKER_CONCURRENCY", 4, least=1)}

# --- calls of endpoints -----------------------------------------------------------------------------------------------

# Private networks whose endpoints may be called, where a network names ports (10.0.0.0/8:8080) at these alone; a
# cloud's metadata address only where it is named itself, as a /32.
ALLOWED_NETWORKS = read_places("EVALHUB_ALLOWED_NETWORKS", [])
if MODE == "demo":
    ALLOWED_NETWORKS = [*ALLOWED_NETWORKS, "127.0.0.0/8", "::1/128"]  # the demo's own endpoint

# Launching and judging again cost calls of endpoints and of judges. One person; an organisation four times as many.
LAUNCHES_PER_MINUTE = read_number("EVALHUB_LAUNCHES_PER_MINUTE", 60)  # 0: no limit

# The model that judges, and plays simulated users, where an evaluator names no endpoint: an OpenAI-compatible address
# of chat completions, for example https://models.example.com/v1/chat/completions.
JUDGE_URL = read_web_address("EVALHUB_JUDGE_URL")
JUDGE_KEY = read_text("EVALHUB_JUDGE_KEY", "")
JUDGE_MODEL = read_text("EVALHUB_JUDGE_MODEL", "")

# --- people -----------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "accounts:login"
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ["email", "name"]},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# Proxies in front of EvalHub, as addresses or networks; "unix" where they come over a socket. Only what they say about
# where a request comes from is believed: without them, everybody behind a proxy shares one limit of failed sign-ins.
TRUSTED_PROXIES = read_networks("EVALHUB_TRUSTED_PROXIES", [])

SESSION_ENGINE = "evalhub.accounts.signed_in"
AUTHENTICATION_BACKENDS = ["evalhub.accounts.signed_in.Backend"]
SESSION_COOKIE_NAME = "__Host-evalhub-session" if PRODUCTION else "evalhub-session"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = PRODUCTION
CSRF_COOKIE_NAME = "__Host-evalhub-csrf" if PRODUCTION else "evalhub-csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "evalhub.web.errors.csrf_failure"
CSRF_COOKIE_SECURE = PRODUCTION

# --- what browsers are told -------------------------------------------------------------------------------------------

SECURE_CSP = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "frame-src": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
    "base-uri": [CSP.NONE],
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

SECURE_SSL_REDIRECT = PRODUCTION and read_flag("EVALHUB_REDIRECT_TO_HTTPS", True)
PROBES = ["/healthz", "/readyz"]
SECURE_REDIRECT_EXEMPT = [f"^{path[1:]}$" for path in PROBES]  # a load balancer asks by http
SECURE_HSTS_SECONDS = read_number("EVALHUB_HSTS_SECONDS", 365 * 24 * 3600) if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PRODUCTION
SECURE_HSTS_PRELOAD = PRODUCTION

# --- files ------------------------------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "evalhub.web.bundle.StyleSheetFinder",
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
]
STATIC_ROOT = VAR_DIR / "static"
SERVES_COLLECTED_FILES = MODE in (
    "production",
    "demo",
)  # hashed and compressed by collectstatic; else read from static/
WHITENOISE_USE_FINDERS = not SERVES_COLLECTED_FILES
WHITENOISE_AUTOREFRESH = not SERVES_COLLECTED_FILES
MEDIA_ROOT = VAR_DIR / "media"  # uploads wait here for the worker; nothing in it has an address
IMPORT_LIMITS = {  # see docs/importing.md
    "file_bytes": read_number("EVALHUB_IMPORT_FILE_MB", 200, least=1) * 1024 * 1024,
    "record_bytes": read_number("EVALHUB_IMPORT_RECORD_MB", 32, least=1) * 1024 * 1024,
}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "whitenoise.storage.CompressedManifestStaticFilesStorage"
            if SERVES_COLLECTED_FILES
            else "django.contrib.staticfiles.storage.StaticFilesStorage"
        )
    },
}

# --- language and time ------------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

# --- the log ----------------------------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "evalhub.web.log_lines.JsonLines"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "evalhub": {"level": "INFO"},
        "django": {"handlers": [], "level": "WARNING", "propagate": True},
        "django.server": {
            "handlers": [],
            "level": "WARNING",
            "propagate": True,
        },  # runserver: we log requests ourselves
    },
}

# --- the API ----------------------------------------------------------------------------------------------------------

API_REQUESTS_PER_MINUTE = read_number("EVALHUB_API_REQUESTS_PER_MINUTE", 6000)  # of one token; 0: no limit
REST_FRAMEWORK: dict[str, Any] = {  # views of the API say all of this themselves; a view that forgets stays closed
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "evalhub.api.openapi.OperationSchema",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "EvalHub API",
    "DESCRIPTION": "Runs of evaluations of LLM applications, their results, and what people think of them.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SORT_OPERATIONS": False,
    "POSTPROCESSING_HOOKS": ["evalhub.api.openapi.add_components"],
}
