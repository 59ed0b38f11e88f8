"""How long what is kept (DOMAIN section 7): the figures that the privacy page states."""

from typing import Final

SCAN_MONTHS: Final = 13
AGGREGATE_MONTHS: Final = 25
POSITION_HOURS: Final = 72
SALT_HOURS: Final = 48
PARTICIPANT_DAYS: Final = 90  # after the campaign's end
LEDGER_YEARS: Final = 10
DELIVERY_DAYS: Final = 30  # bodies of webhooks
COOKIE_DAYS: Final = 400  # what browsers allow at most
LEAST_AGE: Final = 15
