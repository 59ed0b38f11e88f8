"""Scans: the log, its verdicts, receipts, positions and check-ins."""

from campaigns.scans.check_ins import (
    BETWEEN_PLACES,
    check_in,
    find_check_in,
    find_void,
    standing_of,
    try_till_code,
    witness,
)
from campaigns.scans.figures import Figures, by_hour, last_hours, totals, unique_visitors
from campaigns.scans.firsts import note_way
from campaigns.scans.forgetting import PERSON_COLUMNS, forget, forget_positions
from campaigns.scans.judge import judge, rejudge
from campaigns.scans.log_start import move_log_start
from campaigns.scans.marks import Visits, marks_due, set_mark, visits_between
from campaigns.scans.merging import merge
from campaigns.scans.models import CheckIn, Scan
from campaigns.scans.positions import Position, SealedFix, accuracy_up, best_fix
from campaigns.scans.receipt import Receipt, ReceiptBook
from campaigns.scans.recount import recount
from campaigns.scans.rollup_pairs import SUMMED, has_cells, share_out
from campaigns.scans.rollup_weeks import is_counted
from campaigns.scans.rollup_weeks import keep as keep_week
from campaigns.scans.rollup_weeks import over as weeks_over
from campaigns.scans.rollups import derive
from campaigns.scans.service import (
    confirm,
    confirm_by_key,
    confirmed_among,
    judged_verdicts,
    list_scans,
    photographed,
    scan_by_id,
    scan_of,
    sight,
    standing_judgements,
    take_writer_number,
    to_store,
)
from campaigns.scans.verdict import EARNING, STRONG, Judgement, Reason, Verdict
from campaigns.scans.voiding import (
    Effect,
    Undone,
    Voided,
    effects_of,
    find_witnessed,
    note_effects,
    void,
    void_of,
    void_witnessed,
    voids_among,
)

__all__ = [
    "BETWEEN_PLACES",
    "EARNING",
    "PERSON_COLUMNS",
    "STRONG",
    "SUMMED",
    "CheckIn",
    "Effect",
    "Figures",
    "Judgement",
    "Position",
    "Reason",
    "Receipt",
    "ReceiptBook",
    "Scan",
    "SealedFix",
    "Undone",
    "Verdict",
    "Visits",
    "Voided",
    "accuracy_up",
    "best_fix",
    "by_hour",
    "check_in",
    "confirm",
    "confirm_by_key",
    "confirmed_among",
    "derive",
    "effects_of",
    "find_check_in",
    "find_void",
    "find_witnessed",
    "forget",
    "forget_positions",
    "has_cells",
    "is_counted",
    "judge",
    "judged_verdicts",
    "keep_week",
    "last_hours",
    "list_scans",
    "marks_due",
    "merge",
    "move_log_start",
    "note_effects",
    "note_way",
    "photographed",
    "recount",
    "rejudge",
    "scan_by_id",
    "scan_of",
    "set_mark",
    "share_out",
    "sight",
    "standing_judgements",
    "standing_of",
    "take_writer_number",
    "to_store",
    "totals",
    "try_till_code",
    "unique_visitors",
    "visits_between",
    "void",
    "void_of",
    "void_witnessed",
    "voids_among",
    "weeks_over",
    "witness",
]
