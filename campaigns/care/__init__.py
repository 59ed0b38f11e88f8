"""Care: what people report of codes, and the alerts that the figures give."""

from campaigns.care.lookout import Findings, tell, watch
from campaigns.care.models import Alert, AlertKind, CodeReport, ReportKind
from campaigns.care.service import (
    Complaint,
    Reported,
    complaints,
    handle_report,
    list_alerts,
    list_reports,
    open_alerts,
    report_by_id,
    report_code,
)

__all__ = [
    "Alert",
    "AlertKind",
    "CodeReport",
    "Complaint",
    "Findings",
    "ReportKind",
    "Reported",
    "complaints",
    "handle_report",
    "list_alerts",
    "list_reports",
    "open_alerts",
    "report_by_id",
    "report_code",
    "tell",
    "watch",
]
