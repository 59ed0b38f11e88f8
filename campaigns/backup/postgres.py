"""A PostgreSQL database dumped beside its servers by `pg_dump`, and filled again by `pg_restore`.

Visitor salts stay behind: their table is UNLOGGED, and its rows are left out by name as well. A password goes by the
environment, never onto a command line that others can read.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import psycopg
from psycopg import conninfo, sql

from campaigns.backup.archive import CHUNK
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.migrations import unfinished

KEPT = "replaced_"  # schemas that a restore set aside are in no later backup
GOING_S = 3.0  # a connection that was just closed is still listed for a moment
_NEVER = ("--no-unlogged-table-data", "--exclude-table-data=public.visitor_salts", f"--exclude-schema={KEPT}*")
_PLAIN = ("--no-owner", "--no-privileges", "--no-comments")


@dataclass(frozen=True)
class Tool:
    """A program of PostgreSQL, for one database."""

    path: str
    version: str
    dsn: str

    def command(self, *arguments: str) -> dict[str, Any]:
        """What `subprocess` takes to run it: the password is in its environment alone."""
        address = conninfo.conninfo_to_dict(self.dsn)
        password = address.pop("password", None)
        environment = dict(os.environ) | ({"PGPASSWORD": str(password)} if password else {})
        name = conninfo.make_conninfo(**{key: str(value) for key, value in address.items()})
        return {"args": [self.path, "--no-password", f"--dbname={name}", *arguments], "env": environment}


def find_tool(name: str, folder: Path | None, connection: "psycopg.Connection[Any]", dsn: str) -> Tool:
    """`pg_dump` or `pg_restore`, on the PATH or in the folder given; refused when missing or older than the server."""
    path = shutil.which(name, path=str(folder) if folder else None)
    if path is None:
        where = f"in PASSERELLE_PG_BIN ({folder})" if folder else "on the PATH"
        raise NotFound(f"There is no {name} {where}. Install PostgreSQL's client programs, or set PASSERELLE_PG_BIN.")
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603  # found above
    major = re.search(r"\) (\d+)", told)
    server = connection.info.server_version // 10_000
    if major is None or int(major[1]) < server:
        raise Invalid(
            f"{path} is {told.strip() or 'unknown'}, older than the server, PostgreSQL {server}. "
            f"Install the client programs of version {server}, or set PASSERELLE_PG_BIN."
        )
    return Tool(path, told.strip(), dsn)


def describe(connection: "psycopg.Connection[Any]") -> tuple[str, str]:
    """Schema and key fingerprint of the database; Invalid when it is none of ours."""
    try:
        schema = connection.execute("SELECT version_num FROM public.alembic_version").fetchone()
        key = connection.execute("SELECT fingerprint FROM public.key_fingerprints").fetchone()
    except psycopg.errors.UndefinedTable as error:
        raise Invalid("This is not a database of Passerelle: `passerelle init` makes one.") from error
    return (schema or [""])[0], (key or [""])[0]


def dump(tool: Tool, target: IO[bytes]) -> None:
    """Write a dump in pg_dump's custom format: one moment, beside whoever writes. Conflict with its words otherwise."""
    with _running(tool, "--format=custom", *_NEVER, *_PLAIN, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        shutil.copyfileobj(cast("IO[bytes]", child.stdout), target, CHUNK)


def fill(tool: Tool, source: IO[bytes]) -> None:
    """Fill an empty database from a dump, whole or not at all."""
    options = ("--single-transaction", "--exit-on-error", *_PLAIN)
    with (
        _running(tool, *options, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child,
        suppress(BrokenPipeError),  # it says why itself
        cast("IO[bytes]", child.stdin) as into,
    ):
        shutil.copyfileobj(source, into, CHUNK)


def require_alone(connection: "psycopg.Connection[Any]") -> None:
    """Conflict when anybody else is connected to the database: a server would write into what is being restored."""
    end = time.monotonic() + GOING_S
    while others := _others(connection):
        if time.monotonic() > end:
            raise Conflict(
                f"{len(others)} other connections use this database (process {', '.join(map(str, others[:5]))}). "
                "Stop every server and worker first."
            )
        time.sleep(0.05)


def is_empty(connection: "psycopg.Connection[Any]") -> bool:
    """Whether nothing is in the place a dump is restored to."""
    query = "SELECT NOT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace)"
    row = connection.execute(query).fetchone()
    return bool(row and row[0])


def set_aside(connection: "psycopg.Connection[Any]", kept: str | None) -> None:
    """Make room and mark the database as unfinished, in one transaction: what was there becomes the schema `kept`."""
    with connection.transaction():
        if kept is not None:
            connection.execute(sql.SQL("ALTER SCHEMA public RENAME TO {}").format(sql.Identifier(kept)))
            _make_public(connection)
        connection.execute(sql.SQL("CREATE TABLE public.{} (kept text)").format(sql.Identifier(unfinished.TABLE)))
        connection.execute(sql.SQL("INSERT INTO public.{} VALUES (%s)").format(_MARK), (kept,))


def put_back(connection: "psycopg.Connection[Any]") -> None:
    """Undo a restore that has not finished: the mark says what was there. Nothing happens without a mark."""
    with connection.transaction():
        row = connection.execute("SELECT to_regclass(%s)", (f"public.{unfinished.TABLE}",)).fetchone()
        if row is None or row[0] is None:
            return
        row = connection.execute(sql.SQL("SELECT kept FROM public.{}").format(_MARK)).fetchone()
        connection.execute("DROP SCHEMA public CASCADE")
        if row is not None and row[0] is not None:
            connection.execute(sql.SQL("ALTER SCHEMA {} RENAME TO public").format(sql.Identifier(row[0])))
        else:
            _make_public(connection)


_MARK = sql.Identifier(unfinished.TABLE)


def _make_public(connection: "psycopg.Connection[Any]") -> None:
    connection.execute("CREATE SCHEMA public")
    connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")


def _others(connection: "psycopg.Connection[Any]") -> Sequence[int]:
    rows = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend' ORDER BY pid"
    )
    return [row[0] for row in rows]


@contextmanager
def _running(tool: Tool, *arguments: str, stdin: int, stdout: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that has ended, and well, at the end of the block."""
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(**tool.command(*arguments), stdin=stdin, stdout=stdout, stderr=said) as child:
            try:
                yield child
            except BaseException:
                child.kill()
                raise
        said.seek(0)
        words = " ".join(said.read().decode("utf-8", "replace").split())
    if child.returncode:
        raise Conflict(f"{Path(tool.path).name} gave up: {words[-600:] or f'exit {child.returncode}'}")
