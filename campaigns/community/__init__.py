"""What participants say: ideas."""

from campaigns.community.models import Idea
from campaigns.community.service import Posted, ideas_of, list_ideas, post_idea, recount, tidy

__all__ = ["Idea", "Posted", "ideas_of", "list_ideas", "post_idea", "recount", "tidy"]
