"""Tokens: codes to print, write on a tag or send as a link."""

from campaigns.tokens.models import Kind, Medium, Token, TokenState
from campaigns.tokens.service import (
    change_token,
    find_token,
    issue,
    launch_facts,
    list_tokens,
    require_destination,
    revoke,
    token_by_id,
    tokens_of_place,
)

__all__ = [
    "Kind",
    "Medium",
    "Token",
    "TokenState",
    "change_token",
    "find_token",
    "issue",
    "launch_facts",
    "list_tokens",
    "require_destination",
    "revoke",
    "token_by_id",
    "tokens_of_place",
]
