"""What participants say: ideas."""

from campaigns.community.models import Idea, IdeaState
from campaigns.community.service import (
    PERSON_COLUMNS,
    UNDER_AGE,
    Posted,
    forget,
    ideas_of,
    list_ideas,
    post_idea,
    recount,
    tidy,
)

__all__ = [
    "PERSON_COLUMNS",
    "UNDER_AGE",
    "Idea",
    "IdeaState",
    "Posted",
    "forget",
    "ideas_of",
    "list_ideas",
    "post_idea",
    "recount",
    "tidy",
]
