"""What the domain refuses, in six kinds. `api/problems.py` alone turns them into HTTP."""

from typing import Any


class CampaignError(Exception):
    """A refusal with a reason a person can act on. `code` names it in `/problems/<code>`."""

    code = "error"

    def __init__(self, detail: str, *, code: str | None = None, **context: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.context = context
        if code is not None:
            self.code = code


class NotFound(CampaignError):
    """The thing does not exist, or belongs to someone else: the two are never told apart."""

    code = "not_found"


class Forbidden(CampaignError):
    """The caller is known but may not do this, or is not known at all (`code="not_signed_in"`)."""

    code = "forbidden"


class Conflict(CampaignError):
    """The state of things does not allow it now."""

    code = "conflict"


class Gone(CampaignError):
    """It was there and is over: an expired receipt, a used link."""

    code = "gone"


class Invalid(CampaignError):
    """The input cannot be accepted. `pointer` in the context names the field."""

    code = "invalid"


class TooMany(CampaignError):
    """A limit was reached. `retry_after_s` in the context says when to come back."""

    code = "too_many"


class StorageAway(TooMany):
    """The database does not answer, and this cannot be done without it."""

    code = "storage_unavailable"

    def __init__(self) -> None:
        super().__init__(
            "The database does not answer just now. Nothing was done; try again in a moment.", retry_after_s=5
        )
