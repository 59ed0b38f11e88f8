"""What may be asked of a plain QR code, alone or by the thousand."""

from pydantic import ConfigDict, Field

from api import schemas
from campaigns.tokens import qr


class PlainQr(schemas.Request):
    """How a code is to look. What a dashboard adds to an image's address to fetch it anew is ignored."""

    model_config = ConfigDict(extra="ignore")

    ec: qr.ErrorCorrection = Field(qr.ErrorCorrection.M, description="error correction level (ISO/IEC 18004)")
    module_px: int | None = Field(None, description="SVG, PNG: pixels a module, 1 to 40; 8 when nothing is said")
    module_mm: float | None = Field(None, description="SVG, PDF: millimetres a module, 0.4 to 50; 1 in a PDF")
    quiet_zone: int = Field(qr.QUIET_ZONE, description="modules of light border, 2 to 20; 4 is the standard")
    dark: str = Field("#000000", max_length=40, description="`#rrggbb`, in an address `%23rrggbb`")
    light: str = Field("#ffffff", max_length=40, description="contrast 4:1 or more (WCAG)")

    @property
    def size(self) -> qr.Size:
        return qr.Size(self.module_px, self.module_mm)
