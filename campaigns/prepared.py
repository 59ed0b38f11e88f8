"""Statements that every act runs: a Core statement, compiled once, on the driver's own cursor.

Through a session one takes 95 µs, through its connection 68: what is saved here is what SQLAlchemy finds out anew each
time. Its types still turn values into parameters and columns into values, what the driver raises is wrapped as
it does, and the transaction, its lock and its savepoints are the session's. Like any Core statement it flushes nothing.

Only for statements built once (module constants, or behind a cache): each is kept compiled for as long as we run.
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Float, Numeric
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlmodel import SQLModel

Table = TypeVar("Table", bound=SQLModel)


class Slot(NamedTuple):
    """A parameter: its name, what turns a value into what the driver takes, and what stands where none is given."""

    name: str
    convert: Callable[[Any], Any] | None
    default: Callable[[], Any] | None

    def fill(self, values: dict[str, Any]) -> Any:
        """What the driver is given."""
        value = values[self.name] if self.default is None or self.name in values else self.default()
        return value if self.convert is None else self.convert(value)


class Prepared:
    """A statement of a dialect with these values, ready to run."""

    def __init__(self, statement: Any, given: Sequence[str], dialect: Dialect) -> None:
        compiled: SQLCompiler = statement.compile(dialect=dialect, column_keys=list(given))
        if compiled.post_compile_params:
            raise TypeError("A prepared statement has no list that is rendered anew each time: write `or_` or a join.")
        self.sql = compiled.string
        self._is_positional = compiled.positional
        self._slots = _slots_of(compiled, dialect)
        columns = list(getattr(statement, "exported_columns", ()))
        names = [one.key for one in columns]
        self._row: Any = namedtuple("Row", names, rename=True) if columns else None  # known here only
        self._converts = [_converter(one.type, dialect) for one in columns]

    def parameters(self, values: dict[str, Any]) -> Any:
        """What the driver is given for these values."""
        if self._is_positional:
            return [slot.fill(values) for slot in self._slots]
        return {slot.name: slot.fill(values) for slot in self._slots}

    def read(self, found: Sequence[Sequence[Any]]) -> list[Any]:
        """Rows as the columns' types have them; a field of each by its column's name."""
        return [
            self._row._make(
                [one if convert is None else convert(one) for one, convert in zip(row, self._converts, strict=True)]
            )
            for row in found
        ]


def _converter(kind: Any, dialect: Dialect) -> Callable[[Any], Any] | None:
    """What turns a column's value into ours. PostgreSQL asks what the driver gives for a number: of a double, 701."""
    is_number = dialect.name == "postgresql" and isinstance(kind, (Float, Numeric))
    given = (701 if isinstance(kind, Float) else 1700) if is_number else None
    found: Callable[[Any], Any] | None = kind.dialect_impl(dialect).result_processor(dialect, given)
    return found


def rows(session: Session, statement: Any, **values: Any) -> list[Any]:
    """What a SELECT finds, or a RETURNING returns: named tuples."""
    connection = _connection_of(session)
    prepared = _prepared(connection.dialect, statement, values)
    return prepared.read(execute(connection, prepared.sql, prepared.parameters(values)).fetchall())


def row(session: Session, statement: Any, **values: Any) -> Any | None:
    """The first of them, or None."""
    found = rows(session, statement, **values)
    return found[0] if found else None


def value(session: Session, statement: Any, **values: Any) -> Any:
    """The first column of the first of them; None too where there is none."""
    found = rows(session, statement, **values)
    return found[0][0] if found else None


def change(session: Session, statement: Any, values: dict[str, Any]) -> int:
    """Run an INSERT, UPDATE or DELETE; how many rows it wrote."""
    connection = _connection_of(session)
    prepared = _prepared(connection.dialect, statement, values)
    return int(execute(connection, prepared.sql, prepared.parameters(values)).rowcount)


def change_all(session: Session, statement: Any, each: Sequence[dict[str, Any]]) -> int:
    """The same for many rows with the same columns."""
    connection = _connection_of(session)
    prepared = _prepared(connection.dialect, statement, each[0])
    parameters = [prepared.parameters(one) for one in each]
    if len(parameters) == 1:
        return int(execute(connection, prepared.sql, parameters[0]).rowcount)
    return int(execute(connection, prepared.sql, parameters, is_many=True).rowcount)


def load(session: Session, statement: Any, table: type[Table], **values: Any) -> Table | None:
    """The first row of a statement that gives all columns of a table, as an object of no session."""
    found = row(session, statement, **values)
    return None if found is None else as_loaded(table, found._asdict())


def as_loaded(table: type[Table], values: dict[str, Any]) -> Table:
    """An object of a table as a SELECT gives it, of no session: nothing is validated, and nothing of it is written.

    `values` has every column: what is left out would be looked for in a session.
    """
    one: Table = table.__mapper__.class_manager.new_instance()  # type: ignore[attr-defined]  # SQLModel does not type it
    one.__dict__.update(values)
    return one


_known: dict[tuple[str, Any, tuple[str, ...]], Prepared] = {}


def execute(connection: Connection, sql: str, parameters: Any = (), *, is_many: bool = False) -> Any:
    """Run SQL as the driver has it, in the connection's transaction: the driver's cursor."""
    dialect = connection.dialect
    cursor = None
    try:
        cursor = connection.connection.cursor()
        for hear in connection.dispatch.before_cursor_execute:  # who watches an engine's statements sees these too
            hear(connection, cursor, sql, parameters, None, is_many)
        (cursor.executemany if is_many else cursor.execute)(sql, parameters)
    except dialect.loaded_dbapi.Error as error:
        is_gone = dialect.is_disconnect(error, connection.connection.dbapi_connection, cursor)
        if is_gone:
            connection.invalidate(error)
        raise DBAPIError.instance(
            sql,
            None,  # what people gave stays out of the log
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=is_gone,
            dialect=dialect,
        ) from error
    return cursor


def _connection_of(session: Session) -> Connection:
    """The connection of the session's transaction, remembered until that ends: asking for it costs as much as a read.

    Not while a savepoint is open: one that failed is the session's to refuse.
    """
    if session.in_nested_transaction():
        return session.connection()
    known: Connection | None = session.info.get(_CONNECTION)
    if known is None or known.closed:
        known = session.info[_CONNECTION] = session.connection()
    return known


_CONNECTION = "prepared_on"


def _prepared(dialect: Dialect, statement: Any, values: dict[str, Any]) -> Prepared:
    key = (dialect.name, statement, tuple(values))
    found = _known.get(key)
    if found is None:
        found = _known[key] = Prepared(statement, key[2], dialect)
    return found


def _slots_of(compiled: SQLCompiler, dialect: Dialect) -> list[Slot]:
    defaults: dict[str, Callable[[], Any]] = {}
    for column in (*compiled.insert_prefetch, *compiled.update_prefetch):
        defaults[column.key] = _default_of(column)
    slots = {}
    for bind, name in compiled.bind_names.items():
        default = defaults.get(name)
        if default is None and not bind.required:
            default = _constant(bind.effective_value)
        slots[name] = Slot(name, bind.type.dialect_impl(dialect).bind_processor(dialect), default)
    return [slots[name] for name in compiled.positiontup or slots]


def _default_of(column: Any) -> Callable[[], Any]:
    if column.default.is_callable:
        return lambda: column.default.arg(None)
    return _constant(column.default.arg)


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value
