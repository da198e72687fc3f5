"""The server that EvalHub brings along, and what happens to it. Each test starts real ones, in folders of their own."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from evalhub.database import postgres
from evalhub.database.postgres import PostgresError, Server

ROOT = Path(__file__).resolve().parent.parent.parent
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root lends the server another identity")


@pytest.fixture
def folder():
    """A folder that another user may enter: pytest's own is closed to everybody else."""
    made = Path(tempfile.mkdtemp(prefix="evalhub-test-"))
    made.chmod(0o755)
    yield made / "postgres"
    server = Server(made / "postgres", durable=False)
    if pid_of(server) and server.is_running():
        server._run("pg_ctl", "stop", "-D", str(server.data_folder), "-m", "immediate", check=False)
    shutil.rmtree(server.socket_folder, ignore_errors=True)
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def made_once():
    """initdb takes a second: do it once, and let each test start from a copy."""
    made = Path(tempfile.mkdtemp(prefix="evalhub-test-"))
    made.chmod(0o755)
    server = Server(made / "postgres", durable=False)
    server.join()
    server.leave()
    yield made / "postgres"
    shutil.rmtree(server.socket_folder, ignore_errors=True)
    shutil.rmtree(made)


@pytest.fixture
def server(folder, made_once):
    subprocess.run(["cp", "-a", str(made_once), str(folder)], check=True)
    yield Server(folder, durable=False)


def connect(server: Server) -> psycopg.Connection:
    return psycopg.connect(host=str(server.socket_folder), user=server.USER, dbname=server.DATABASE, autocommit=True)


def pid_of(server: Server) -> int:
    file = server.data_folder / "postmaster.pid"
    return int(file.read_text().splitlines()[0]) if file.exists() else 0


def is_alive(pid: int) -> bool:
    """Neither gone nor a zombie that nobody has buried yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_new_folder_gets_a_database_that_listens_on_a_private_socket_only(folder):
    server = Server(folder, durable=False)

    server.join()

    with connect(server) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        assert connection.execute("SELECT 'É' ILIKE 'é', upper('é')").fetchone() == (True, "É")
    assert server.socket_folder.stat().st_mode & 0o777 == 0o700
    assert server.data_folder.stat().st_mode & 0o077 == 0
    server.leave()


def test_the_last_one_to_leave_stops_it_and_the_rows_stay(server):
    other = Server(server.folder, durable=False)
    server.join()
    other.join()
    pid = pid_of(server)
    with connect(server) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")

    server.leave()
    assert is_alive(pid)
    other.leave()
    assert not is_alive(pid)

    server.join()
    with connect(server) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]
    server.leave()


def test_joining_twice_is_joining_once(server):
    server.join()
    server.join()
    pid = pid_of(server)

    server.leave()

    assert not is_alive(pid)


def test_a_forked_child_does_not_leave_for_its_parent(server):
    program = (
        "import os, sys; from pathlib import Path; from evalhub.database.postgres import Server\n"
        "server = Server(Path(sys.argv[1]), durable=False); server.join(); child = os.fork()\n"
        "if child == 0: server.leave(); os._exit(0)\n"
        "os.waitpid(child, 0); print(server.is_running())"
    )

    told = subprocess.run([sys.executable, "-c", program, str(server.folder)], cwd=ROOT, capture_output=True, text=True)

    assert told.stdout.split() == ["True"]
    assert not server.is_running()


def test_four_starts_at_once_make_one_server_and_leave_none(folder):
    program = (
        "import sys, time; from pathlib import Path; from evalhub.database.postgres import Server\n"
        "server = Server(Path(sys.argv[1]), durable=False); server.join()\n"
        "print((server.data_folder / 'postmaster.pid').read_text().split()[0], flush=True); sys.stdin.read()"
    )
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]

    pids = {start.stdout.readline().strip() for start in starts}
    for start in starts:
        start.stdin.close()
    codes = [start.wait(30) for start in starts]

    assert len(pids) == 1
    assert codes == [0, 0, 0, 0]
    assert not is_alive(int(pids.pop()))


def test_a_member_that_was_killed_does_not_keep_it_running(server):
    program = (
        "import sys; from pathlib import Path; from evalhub.database.postgres import Server\n"
        "Server(Path(sys.argv[1]), durable=False).join(); print('joined', flush=True); sys.stdin.read()"
    )
    killed = subprocess.Popen(
        [sys.executable, "-c", program, str(server.folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    killed.stdout.readline()
    server.join()
    pid = pid_of(server)
    killed.kill()
    killed.wait()

    server.leave()

    assert not is_alive(pid)


def test_it_starts_again_after_kill_9(server):
    server.join()
    first = pid_of(server)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not is_alive(first))

    server.revive()

    assert pid_of(server) != first
    with connect(server) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.leave()


def test_a_pid_file_whose_number_belongs_to_something_else_is_forgotten(server):
    stranger = subprocess.Popen(["sleep", "60"])
    pid_file = server.data_folder / "postmaster.pid"
    pid_file.write_text(f"{stranger.pid}\n{server.data_folder}\n1700000000\n5432\n\n\n")

    server.join()

    assert stranger.poll() is None
    assert pid_of(server) != stranger.pid
    server.leave()
    stranger.kill()
    stranger.wait()


def test_a_pid_file_of_a_zombie_is_forgotten(server):
    zombie = subprocess.Popen(["true"])
    wait_until(lambda: not is_alive(zombie.pid))
    (server.data_folder / "postmaster.pid").write_text(f"{zombie.pid}\n{server.data_folder}\n1700000000\n5432\n\n\n")

    server.join()

    assert pid_of(server) != zombie.pid
    server.leave()
    zombie.wait()


def test_an_initdb_that_was_killed_half_way_is_done_again(folder):
    server = Server(folder, durable=False)
    half = server.data_folder.with_name("data.new")
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    server.join()

    assert server.is_running()
    assert not half.exists()
    server.leave()


def test_rows_of_another_version_are_left_alone_and_told(server):
    (server.data_folder / "PG_VERSION").write_text("11\n")

    with pytest.raises(PostgresError, match=r"was made by PostgreSQL 11, and this is PostgreSQL \d+: dump it"):
        server.join()


def test_a_socket_folder_that_somebody_else_opened_is_refused(server):
    server.socket_folder.mkdir(mode=0o777, exist_ok=True)
    server.socket_folder.chmod(0o777)

    with pytest.raises(PostgresError, match="was made by somebody else: remove it"):
        server.join()


@pytest.mark.parametrize(
    "said",
    [
        'initdb: error: could not write to file "x": No space left on device\ninitdb: removing data directory',
        'FATAL:  could not extend file "x": wrote only 4096 of 8192 bytes at block 9\nHINT:  Check free disk space.\n'
        "PANIC:  cannot abort transaction 1, it was already committed",
    ],
)
def test_a_full_disk_is_one_sentence(said):
    assert postgres._sentence(said, Path("/rows")) == "The disk is full: PostgreSQL needs about 100 MB in /rows."


def test_the_reason_why_it_does_not_start_is_one_sentence(server, monkeypatch):
    monkeypatch.setattr(postgres, "TRIES", 2)
    (server.data_folder / "postgresql.conf").write_text("no_such_setting = 1\n")

    with pytest.raises(PostgresError, match=re.escape(f"PostgreSQL in {server.folder} does not start: ")) as stopped:
        server.join()

    assert "no_such_setting" in str(stopped.value) or "configuration" in str(stopped.value)
    assert "\n" not in str(stopped.value)


def test_a_start_that_fails_at_its_end_leaves_nothing_running(server, monkeypatch):
    def fail(server):
        raise PostgresError("The disk is full.")

    monkeypatch.setattr(Server, "_make_database", fail)

    with pytest.raises(PostgresError):
        server.join()

    assert not server.is_running()
    assert pid_of(server) == 0


def test_programs_that_were_named_are_used_or_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("EVALHUB_PG_BINDIR", str(tmp_path))

    with pytest.raises(PostgresError, match=f"EVALHUB_PG_BINDIR is {tmp_path}, but there is no initdb in it"):
        postgres.find_programs()


@AS_ROOT
def test_root_runs_it_as_somebody_else(server):
    server.join()

    assert Path(f"/proc/{pid_of(server)}").stat().st_uid != 0
    server.leave()


@AS_ROOT
def test_root_puts_rows_and_programs_where_the_servers_user_can_reach_them(folder, monkeypatch):
    closed = folder.parent / "closed"
    closed.mkdir(mode=0o700)
    package = postgres.find_programs().parent.parent
    for part in (package, package.with_name(package.name + ".libs")):
        shutil.copytree(part, closed / "packages" / part.name, symlinks=True)
    monkeypatch.setenv("EVALHUB_PG_BINDIR", str(closed / "packages" / package.name / "pginstall" / "bin"))
    monkeypatch.setattr(postgres, "SHARED_FOLDER", folder.parent / "shared")
    server = Server(closed / "postgres", durable=False)

    server.join()

    with connect(server) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert server.data_folder.is_relative_to(folder.parent / "shared")
    assert server._programs.is_relative_to(folder.parent / "shared")
    server.leave()


@AS_ROOT
def test_a_new_clone_does_not_find_the_rows_of_a_deleted_one(folder, monkeypatch):
    monkeypatch.setattr(postgres, "SHARED_FOLDER", folder.parent / "shared")
    clone = folder.parent / "closed" / "postgres"
    homes = []
    for _ in range(2):
        clone.mkdir(parents=True)
        (folder.parent / "closed").chmod(0o700)
        homes.append(Server(clone, durable=False)._home)
        shutil.rmtree(folder.parent / "closed")

    assert homes[0] != homes[1]
    assert [home.exists() for home in homes] == [False, True]


def wait_until(holds, limit: float = 5) -> None:
    until = time.monotonic() + limit
    while not holds():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
