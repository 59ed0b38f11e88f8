"""What French law says of a promotion: pure rules."""

from datetime import date

import pytest

from campaigns.rewards.models import Product
from campaigns.rewards.promotion import warnings

TODAY = date(2026, 11, 30)


@pytest.mark.parametrize(
    ("product", "value", "price", "is_warned"),
    [
        (Product.FOOD, 340, 1000, False),
        (Product.FOOD, 341, 1000, True),
        (Product.FOOD, 34, 99, True),  # 34.3 %
        (Product.PET_FOOD, 350, 1000, True),
        (Product.HOUSEHOLD, 400, 1000, False),
        (Product.HOUSEHOLD, 401, 1000, True),
        (Product.GOODS, 1000, 1000, False),
        (Product.SERVICE, 1000, 1000, False),
        (Product.FOOD, 100, None, True),  # it cannot be checked
        (Product.FOOD, None, 1000, False),
        (Product.FOOD, 2**53 - 1, 2**53 - 1, True),
    ],
)
def test_the_ceiling_is_exact(product: Product, value: int | None, price: int | None, is_warned: bool) -> None:
    found = warnings(product, face_value_minor=value, price_minor=price, texts=["Apples"], on=TODAY)
    assert bool(found) is is_warned


def test_the_ceiling_ends_with_the_law() -> None:
    for day, number in ((date(2028, 4, 15), 1), (date(2028, 4, 16), 0)):
        found = warnings(Product.FOOD, face_value_minor=500, price_minor=1000, texts=[], on=day)
        assert len(found) == number


@pytest.mark.parametrize(
    ("text", "is_warned"),
    [
        ("Une pomme gratuite", True),
        ("Deux pommes GRATUITES", True),
        ("gratuitement", True),
        ("A free apple", True),
        ("Une pomme offerte", False),
        ("Sugar-free biscuits, gluten free", False),
        ("Freedom and ingratitude", False),
    ],
)
def test_the_word_is_forbidden_for_food_alone(text: str, is_warned: bool) -> None:
    for product, counts in ((Product.FOOD, True), (Product.PET_FOOD, True), (Product.HOUSEHOLD, False)):
        found = warnings(product, face_value_minor=None, price_minor=None, texts=["Pommes", text], on=TODAY)
        assert bool(found) is (is_warned and counts)
