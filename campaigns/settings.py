"""Settings: environment variables `PASSERELLE_*`, also from a `.env`. Frozen, read once by whoever starts."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Everything an operator may set. Secrets never show in a repr."""

    model_config = SettingsConfigDict(
        env_prefix="PASSERELLE_", env_file=".env", env_file_encoding="utf-8", frozen=True, extra="ignore"
    )

    database_url: str = Field(
        "sqlite:///passerelle.db", description="sqlite:///file.db or postgresql://user@host/database"
    )
    base_url: str = Field("http://127.0.0.1:8000", description="What the printed codes point to.")
    secret_key: str | None = Field(
        None, repr=False, description="At least 32 characters. Made and kept beside a SQLite file."
    )
    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8000, ge=0, le=65535)
    trusted_proxies: str = Field("", description="Comma-separated addresses whose X-Forwarded-For is believed.")
    geoip_file: Path | None = Field(None, description="A .mmdb file: scans then carry country and city of the address.")
    geocoder: str | None = Field(None, description="A geopy geocoder, e.g. nominatim or photon. None: no look-ups.")
    geocoder_agent: str = Field("passerelle", description="The user agent sent to the geocoder.")
    queue_limit: int = Field(20_000, ge=1, description="Scans that may wait for the disk before the answer is 503.")
    spool_dir: Path = Field(
        Path("passerelle-spool"), description="Where scans wait on this host while PostgreSQL is away. Keep it."
    )
    start_patience_s: float = Field(
        60, ge=0, le=86_400, description="Seconds a starting server waits for PostgreSQL to answer."
    )
    head_deadline_s: float = Field(10, gt=0, le=600, description="Seconds for a request's line and headers to arrive.")
    body_deadline_s: float = Field(20, gt=0, le=600, description="Seconds for a request's body to arrive.")
    stream_recheck_s: float = Field(
        20, gt=0, le=60, description="Seconds between two looks whether who watches live figures still may."
    )
    datacentre_file: Path | None = Field(
        None,
        description="A file of data centres' address ranges, one CIDR a line: a weight, never a refusal.",
    )
    smtp_url: str | None = Field(
        None, repr=False, description="smtp://user:password@host:587: sign-in links go by mail. None: they are shown."
    )
    mail_from: str = Field("", description="The address that mails come from.")
    webhooks_local: bool = Field(
        False, description="For trials: webhooks may lead to this machine too, over http or https."
    )
    erasure_dir: Path | None = Field(
        None, description="Where erasures are noted outside the database. None: beside a SQLite file, else here."
    )
    pg_bin: Path | None = Field(None, description="The folder of pg_dump and pg_restore. None: they are on the PATH.")
    worker: bool = Field(True, description="Run the worker inside the server.")

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        if url.startswith("postgres://"):
            url = "postgresql://" + url.removeprefix("postgres://")
        if not url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            raise ValueError("PASSERELLE_DATABASE_URL begins with sqlite:/// or postgresql://")
        return url.replace("postgresql://", "postgresql+psycopg://", 1)

    @field_validator("base_url")
    @classmethod
    def _plain_base_url(cls, url: str) -> str:
        if not url.lower().startswith(("http://", "https://")):
            raise ValueError("PASSERELLE_BASE_URL begins with http:// or https://")
        return url.rstrip("/")

    @field_validator("trusted_proxies")
    @classmethod
    def _named_proxies(cls, proxies: str) -> str:
        if "*" in proxies:  # then anybody could say any address
            raise ValueError("PASSERELLE_TRUSTED_PROXIES names addresses or networks, never *")
        return proxies

    @property
    def sqlite_path(self) -> Path | None:
        """The SQLite file, or None on PostgreSQL."""
        prefix = "sqlite:///"
        return Path(self.database_url.removeprefix(prefix)) if self.database_url.startswith(prefix) else None

    @property
    def erasure_folder(self) -> Path:
        """The folder of the log of erasures: the one given, `<file>.erasures`, or `passerelle-erasures` here."""
        if self.erasure_dir is not None:
            return self.erasure_dir
        path = self.sqlite_path
        return Path("passerelle-erasures") if path is None else path.with_name(path.name + ".erasures")

    @property
    def is_https(self) -> bool:
        return self.base_url.lower().startswith("https://")
