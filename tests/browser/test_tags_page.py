"""Writing a shop's tags with Web NFC, played by a stand-in, in a real browser; and the bytes for everyone else."""

from itertools import count
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import STAND_IN, Phone, Shop, open_shop, read_qr, sign_in
from tests.conftest import Server

pytestmark = pytest.mark.browser

_uids = count(1)  # all shops of a server are one organisation's


@pytest.fixture
def place(house: Server) -> Shop:
    """A shop with one NFC code, Comptoir."""
    return open_shop(house)


def add(shop: Shop, label: str, **fields: Any) -> dict[str, Any]:
    body = {"medium": "nfc", "place_id": shop.place_id, "label": label, **fields}
    return shop.post(f"/v1/campaigns/{shop.campaign_id}/tokens", body)


def new_uid() -> str:
    return (0x04A21B00000000 + next(_uids)).to_bytes(7, "big").hex(":")


def shown(uid: str) -> str:
    return uid.replace(":", " ").upper()


def writer(phone: Phone, shop: Shop, **options: Any) -> Page:
    """The page of the shop's tags on a phone with Web NFC."""
    page = phone(**{"language": "en-GB", **options})
    page.add_init_script(path=STAND_IN)
    sign_in(page, shop)
    page.goto(f"{shop.server.url}/staff/tags")
    return page


def lay(page: Page, **tag: Any) -> None:
    page.evaluate("(tag) => field.lay(tag)", tag)


def press(page: Page, name: str) -> None:
    page.locator("#writer").get_by_role("button", name=name, exact=True).click()


def start(page: Page) -> None:
    press(page, "Write them one after the other")


def said(page: Page, text: str) -> None:
    expect(page.locator("#told")).to_contain_text(text)


def written(page: Page) -> list[str]:
    found: list[str] = page.evaluate("field.written")
    return found


def url_of(shop: Shop, token: dict[str, Any]) -> str:
    return f"{shop.server.url}/t/{token['code']}"


def tag_of(shop: Shop, token: dict[str, Any]) -> dict[str, Any]:
    with shop.server.api() as api:
        tag: dict[str, Any] = api.get(f"/v1/tokens/{token['id']}/tag").json()
        return tag


def uid_of(shop: Shop, token: dict[str, Any]) -> str | None:
    uid: str | None = tag_of(shop, token)["uid"]
    return uid


def plain(uid: str) -> str:
    return uid.replace(":", "").upper()


def test_an_empty_tag_is_written_read_back_and_noted(phone: Phone, place: Shop) -> None:
    page, uid = writer(phone, place), new_uid()
    said(page, "1 of 1 tags are still to be written")
    expect(page.locator("#without")).to_be_hidden()
    start(page)
    said(page, "Hold the tag for “Comptoir”")
    lay(page, uid=uid)
    said(page, "“Comptoir” is written and read back")
    assert written(page) == [url_of(place, place.nfc)]
    press(page, "Finish")
    said(page, "Every tag is written")
    expect(page.locator("#tags + ul .state")).to_have_text(f"Written on tag {shown(uid)}, just now")
    assert uid_of(place, place.nfc) == plain(uid)
    page.reload()
    expect(page.locator("#tags + ul .state")).to_contain_text(f"Written on tag {shown(uid)} on")


def test_a_tag_that_carries_the_code_already_is_noted_and_left_as_it_is(phone: Phone, place: Shop) -> None:
    page, uid = writer(phone, place), new_uid()
    lay(page, uid=uid, url=url_of(place, place.nfc).upper() + "?m=04E141124C2880x003F31")
    start(page)
    said(page, "“Comptoir” stands on this tag already")
    assert written(page) == []
    assert uid_of(place, place.nfc) == plain(uid)


def test_a_tag_of_another_code_is_overwritten_only_when_that_is_said(phone: Phone, place: Shop) -> None:
    other = add(place, "Window poster")
    page, uid = writer(phone, place), new_uid()
    page.get_by_role("button", name="Write Window poster").click()
    lay(page, uid=uid)
    said(page, "is written and read back")
    press(page, "Finish")
    page.get_by_role("button", name="Write Comptoir").click()
    said(page, "another of our codes: “Window poster”")
    press(page, "No, take another tag")
    said(page, "another of our codes: “Window poster”")
    assert written(page) == [url_of(place, other)]
    assert uid_of(place, place.nfc) is None
    press(page, "Overwrite this tag")
    said(page, "“Comptoir” is written and read back")
    assert (uid_of(place, place.nfc), uid_of(place, other)) == (plain(uid), None)


def test_what_is_not_ours_is_shown_before_it_is_overwritten(phone: Phone, place: Shop) -> None:
    page, uid = writer(phone, place), new_uid()
    start(page)
    lay(page, uid=uid, text="Door 12 <b>")
    said(page, "Something else stands on this tag: “Door 12 <b>”")
    page.evaluate("field.lift()")
    press(page, "Overwrite this tag")
    said(page, "Hold that same tag again")
    lay(page, uid=new_uid(), text="Door 13")
    said(page, "Something else stands on this tag: “Door 13”")
    assert written(page) == []
    page.evaluate("field.lift()")
    press(page, "No, take another tag")
    lay(page, uid=uid)
    said(page, "is written and read back")


def test_a_tag_our_list_gives_to_another_code_changes_hands_when_asked(phone: Phone, place: Shop) -> None:
    other = add(place, "Window poster")
    page, uid = writer(phone, place), new_uid()
    page.get_by_role("button", name="Write Window poster").click()
    lay(page, uid=uid)
    press(page, "Finish")
    page.evaluate("field.lift()")
    page.get_by_role("button", name="Write Comptoir").click()
    lay(page, uid=uid)  # emptied meanwhile, by another tool
    said(page, "our list says it belongs to “Window poster”")
    assert (uid_of(place, place.nfc), uid_of(place, other)) == (None, plain(uid))
    press(page, "Yes, give it to this code")
    said(page, "“Comptoir” is written and read back")
    assert (uid_of(place, place.nfc), uid_of(place, other)) == (plain(uid), None)


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        (["NetworkError"], "The tag moved away too soon"),
        (["NotSupportedError"], "This phone or this tag cannot do that"),
        (["NotReadableError"], "NFC is switched off"),
        (["OddError"], "That did not work"),
        (["garble"], "What was read back is not what was written"),
        (["swap"], "That was another tag than a moment ago"),
        (["unreadable"], "This tag could not be read"),
    ],
)
def test_what_goes_wrong_is_said_noted_nowhere_and_may_be_tried_again(
    phone: Phone, place: Shop, fails: list[str], words: str
) -> None:
    page, uid = writer(phone, place), new_uid()
    start(page)
    lay(page, uid=uid, fails=fails)
    said(page, words)
    assert tag_of(place, place.nfc)["bound_at"] is None
    page.evaluate("field.lift()")
    press(page, "Try again")
    said(page, "Hold the tag")
    lay(page, uid=uid)
    said(page, "is written and read back")
    assert uid_of(place, place.nfc) == plain(uid)


def test_a_tag_that_slips_under_the_phone_keeps_what_it_has(phone: Phone, place: Shop) -> None:
    page = writer(phone, place)
    start(page)
    # The field tells of an empty tag, and another one lies there when the write begins.
    page.evaluate("field.lay({ uid: '04:01:02:03' }); field.tag = { uid: '04:01:02:04', text: 'Door', fails: [] }")
    said(page, "That was not the empty tag of a moment ago")
    assert written(page) == []
    assert tag_of(place, place.nfc)["bound_at"] is None


def test_a_refused_permission_is_told_with_the_next_step(phone: Phone, place: Shop) -> None:
    page = writer(phone, place)
    page.evaluate("field.denied = true")
    start(page)
    said(page, "allow NFC, and try again")
    page.evaluate("field.denied = false")
    press(page, "Try again")
    said(page, "Hold the tag")


def test_a_tag_is_locked_after_a_second_yes(phone: Phone, place: Shop) -> None:
    page, uid = writer(phone, place), new_uid()
    start(page)
    lay(page, uid=uid)
    press(page, "Lock it for good…")
    said(page, "can never be written again")
    assert page.evaluate("!field.tag.locked")
    page.evaluate("field.lift()")
    press(page, "Yes, lock it for good")
    said(page, "Hold the same tag again")
    lay(page, uid=new_uid(), url=url_of(place, place.nfc))
    said(page, "That was another tag")
    assert page.evaluate("!field.tag.locked")
    page.evaluate("field.lift()")
    press(page, "Try again")
    lay(page, uid=uid, url=url_of(place, place.nfc))
    said(page, "“Comptoir” is locked for good")
    assert page.evaluate("field.tag.locked")
    assert tag_of(place, place.nfc)["locked"] is True
    press(page, "Finish")
    expect(page.locator("#tags + ul .state")).to_contain_text("locked for good")


def test_a_lock_that_is_declined_leaves_the_tag_open(phone: Phone, place: Shop) -> None:
    page = writer(phone, place)
    start(page)
    lay(page, uid=new_uid())
    press(page, "Lock it for good…")
    press(page, "Leave it open")
    said(page, "Every tag is written")
    assert page.evaluate("!field.tag.locked")
    assert tag_of(place, place.nfc)["locked"] is False


def test_a_batch_goes_on_after_a_tag_that_fails_and_after_a_pause(phone: Phone, place: Shop) -> None:
    tokens = [place.nfc, add(place, "Window poster"), add(place, "Till")]
    uids = [new_uid() for _ in tokens]
    page = writer(phone, place)
    start(page)
    expect(page.locator("#step")).to_have_text("Tag 1 of 3: Comptoir")
    lay(page, uid=uids[0])
    said(page, "is written and read back")
    assert page.locator("#progress").evaluate("one => [one.value, one.max]") == [1, 3]
    page.evaluate("field.lift()")
    press(page, "Next tag")
    expect(page.locator("#step")).to_have_text("Tag 2 of 3: Window poster")
    lay(page, uid=uids[1], fails=["NetworkError"])
    said(page, "The tag moved away")
    press(page, "Skip this one")
    expect(page.locator("#step")).to_have_text("Tag 3 of 3: Till")
    press(page, "Stop")
    said(page, "Stopped")
    page.reload()
    said(page, "2 of 3 tags are still to be written")
    start(page)
    for number, label, uid in ((2, "Window poster", uids[1]), (3, "Till", uids[2])):
        expect(page.locator("#step")).to_have_text(f"Tag {number} of 3: {label}")
        lay(page, uid=uid)
        said(page, f"“{label}” is written")
        page.evaluate("field.lift()")
        press(page, "Next tag" if number == 2 else "Finish")
    said(page, "Every tag is written")
    assert [uid_of(place, one) for one in tokens] == [plain(uid) for uid in uids]


def test_a_phone_that_does_not_tell_the_uid_still_notes_the_writing(phone: Phone, place: Shop) -> None:
    page = writer(phone, place)
    start(page)
    lay(page)
    said(page, "is written and read back")
    press(page, "Finish")
    expect(page.locator("#tags + ul .state")).to_contain_text("could not tell on which tag")
    assert uid_of(place, place.nfc) is None
    assert tag_of(place, place.nfc)["bound_at"] is not None


def test_a_writing_the_network_lost_is_noted_at_the_next_try(phone: Phone, place: Shop) -> None:
    page, uid = writer(phone, place, expects="net::ERR_FAILED"), new_uid()
    page.route("**/writings", lambda route: route.abort(), times=1)
    start(page)
    lay(page, uid=uid)
    said(page, "could not be noted")
    press(page, "Try again")
    said(page, "stands on this tag already")
    assert uid_of(place, place.nfc) == plain(uid)
    assert len(written(page)) == 1


def test_a_withdrawn_code_is_refused_in_words(phone: Phone, place: Shop) -> None:
    page = writer(phone, place)
    place.post(f"/v1/tokens/{place.nfc['id']}/revocation")
    start(page)
    lay(page, uid=new_uid())
    said(page, "this code may have been withdrawn")


def test_without_web_nfc_the_page_tells_the_other_ways(phone: Phone, place: Shop) -> None:
    for javascript in (True, False):
        page = phone(language="en-GB", javascript=javascript)
        sign_in(page, place)
        page.get_by_role("link", name="NFC tags of this place").click()
        expect(page.locator("#writer")).to_be_hidden()
        expect(page.get_by_role("heading", name="This page cannot write tags here")).to_be_visible()
        expect(page.get_by_role("button", name="Write")).to_have_count(0)


def test_the_bytes_page_works_without_javascript_and_its_code_carries_the_address(phone: Phone, place: Shop) -> None:
    page = phone(language="en-GB", javascript=False, scale=2)
    sign_in(page, place)
    page.goto(f"{place.server.url}/staff/tags")
    page.get_by_role("link", name="Exact bytes of Comptoir").click()
    expect(page.locator("#url")).to_have_text(url_of(place, place.nfc))
    message = tag_of(place, place.nfc)["message_hex"]
    assert bytes.fromhex(page.locator("#ndef").inner_text()).hex() == message
    assert read_qr(page) == url_of(place, place.nfc)
    expect(page.get_by_role("button")).to_have_count(0)
    page.locator("summary").first.click()
    first = page.locator("tbody").first.locator("tr").first
    expect(first).to_contain_text(f"03 {len(message) // 2:02X} D1 01")


def test_bytes_are_copied_by_a_button(phone: Phone, place: Shop) -> None:
    page = phone(language="en-GB")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_in(page, place)
    page.goto(f"{place.server.url}/staff/tags/{place.nfc['id']}")
    page.locator("[data-copy=tlv]").click()
    expect(page.locator("[data-copy=tlv]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#tlv").inner_text()


def test_a_tag_that_signs_is_shown_and_not_written(phone: Phone, place: Shop) -> None:
    keys = {"meta_read_key": "8f1c0c2e5d7a4b3699887766554433ab", "file_read_key": "c0ffee00" * 4}
    add(place, "Door", kind="sun", sun=keys)
    page = writer(phone, place)
    row = page.locator("#tags + ul li").last
    expect(row).to_contain_text("its keys go in with an encoder")
    expect(row.get_by_role("button")).to_have_count(0)
    row.get_by_role("link").click()
    expect(page.locator("main")).to_contain_text("PICCDataOffset")
