"""What an organisation says of itself for the law: the fields, their bounds, and which the legal pages cannot do
without."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LONGEST_NOTICE: Final = 300  # characters: what still goes legibly onto a poster's foot and a card's


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _lines(text: str) -> str:
    """The text with each line's white space folded, and without empty lines."""
    return "\n".join(line for one in text.splitlines() if (line := " ".join(one.split())))


Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
Address = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_lines)]
Email = Annotated[str, Field(max_length=254, pattern=r"^[^@\s<>]{1,64}@[^@\s<>]+\.[^@\s<>.]+$")]
Phone = Annotated[str, Field(max_length=40, pattern=r"^\+?[0-9(][0-9 ().\u00a0\u202f/-]{2,38}$")]
Notice = Annotated[str, Field(min_length=1, max_length=LONGEST_NOTICE), AfterValidator(_one_line)]


class Hosting(BaseModel):
    """Who hosts the servers."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: Line
    address: Address | None = None
    phone: Phone | None = None


class LegalData(BaseModel):
    """All of it may be left out; null takes a field away."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    legal_name: Line | None = Field(None, description="as registered; without it pages show the name")
    legal_form: Line | None = Field(None, description="a company's with its capital: `SAS au capital de 10 000 €`")
    address: Address | None = Field(None, description="of the registered office")
    registration: Line | None = Field(None, description="SIREN, RCS and town, RNA, or the like")
    publication_director: Line | None = Field(None, description="who answers for what is published")
    contact_email: Email | None = None
    contact_phone: Phone | None = None
    privacy_contact: Address | None = Field(
        None, description="an e-mail or postal address for questions about personal data"
    )
    hosting: Hosting | None = Field(None, description="who hosts the servers that answer")
    mandatory_notice: Notice | Annotated[dict[Literal["fr", "en"], Notice], Field(min_length=1)] | None = Field(
        None,
        description="shown on every shopper page and printed on every sheet, as the law asks of food and drink: one "
        f"text, or one a language, of at most {LONGEST_NOTICE} characters",
    )

    def stored(self) -> dict[str, Any]:
        """The fields that were named, as an organisation keeps them: a text given once stands under ""."""
        fields = self.model_dump(include=set(LegalData.model_fields), exclude_unset=True)
        notice = fields.get("mandatory_notice")
        return fields | ({"mandatory_notice": {"": notice}} if isinstance(notice, str) else {})


# What the legal notice and the privacy page must name (LCEN article 1-1; GDPR article 13).
NEEDED: Final = (
    "legal_name",
    "address",
    "registration",
    "publication_director",
    "contact_email",
    "contact_phone",
    "privacy_contact",
    "hosting",
)
