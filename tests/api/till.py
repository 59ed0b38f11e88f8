"""A shop with an offer, in the application of this process: who holds its coupons, and the phones of its staff."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from starlette.testclient import TestClient

from campaigns import identity, ids, participants, places, rewards
from campaigns.places import StaffRole
from campaigns.rewards import Coupon, Offer, OfferPlan, Unlock, Want
from campaigns.sponsorship.models import Beneficiary
from tests.api.peers import Peers
from tests.conftest import PHONE, PIN
from tests.factories import make_campaign, make_mission, make_place

CAUSE = "Les Vergers partagés"


@dataclass
class Till:
    """A brand with two places and an offer of two euros that is good in the first, whose value may be given."""

    peers: Peers
    organisation: Any
    place: Any
    other: Any
    offer: Offer
    now: datetime

    def coupon(self, **changes: Any) -> tuple[Coupon, TestClient]:
        """Somebody's coupon, changed so, and their phone."""
        with self.peers.services.database.transaction() as session:
            person, secret = participants.join(session, self.organisation.id, language="fr", now=self.now)
            (issued,) = rewards.issue(session, [Want(self.offer.id, person.id, uuid4(), "live")], now=self.now)
            coupon = session.get_one(Coupon, issued.id)
            for name, value in changes.items():
                setattr(coupon, name, value)
            session.flush()
            session.refresh(coupon)
        phone = self.phone()
        phone.cookies.set(f"passerelle_p_{self.organisation.id.hex[-12:]}", secret)
        return coupon, phone

    def phone(self) -> TestClient:
        """A phone nobody knows."""
        headers = {"User-Agent": PHONE, "Accept-Language": "en", "Accept": "text/html"}
        return TestClient(self.peers.client.app, headers=headers, follow_redirects=False)

    def staff(self, role: str = "staff", *, elsewhere: bool = False) -> TestClient:
        """A phone of a shop, signed in."""
        with self.peers.services.database.transaction() as session:
            place = self.other if elsewhere else self.place
            secret = places.issue_staff_link(session, place, role=StaffRole(role), now=self.now)
        phone = self.phone()
        assert phone.post(f"/staff/sign-in/{secret}", data={"pin": PIN}).status_code == 303
        return phone

    def stored(self, coupon: Coupon) -> Coupon:
        with self.peers.services.database.snapshot() as session:
            return session.get_one(Coupon, coupon.id)


def open_till(peers: Peers, **offer: Any) -> Till:
    """A new brand with its offer."""
    now = peers.services.clock()
    with peers.services.database.transaction() as session:
        organisation = identity.found_organisation(session, f"Halle {uuid4().hex[:6]}", now=now)
        place = make_place(session, organisation, name="Halle de Bellecour", now=now)
        other = make_place(session, organisation, name="Halle de Vaise", now=now)
        campaign = make_campaign(session, organisation, name="Verger", now=now)
        make_mission(session, campaign, now=now)
        about: dict[str, Any] = {"legal_id": "W691234567", "accepted_at": now, "created_at": now, "changed_at": now}
        cause = Beneficiary(organisation_id=organisation.id, name=CAUSE, **about)
        session.add(cause)
        session.flush()
        plan: dict[str, Any] = {
            "face_value_minor": 200,
            "currency": "EUR",
            "beneficiary_id": cause.id,
            "restrictions": {"fr": "Un par panier", "en": "One a basket"},
            "place_names": [ids.show("plc", place.id)],
        }
        title = {"fr": "Deux euros de pommes", "en": "Two euros of apples"}
        made = rewards.make_offer(session, campaign, OfferPlan(title, 50, Unlock.STAFF, **plan | offer), now=now)
    return Till(peers, organisation, place, other, made, now)
