"""What French law says of a promotion: pure rules, told as warnings, never refusals: whether they apply is not ours.

Ceiling: article 125, II, of loi n° 2020-1525 of 7 December 2020 (« ASAP »), which took over article 3 of ordonnance
n° 2018-1128 (« EGalim »), as amended by article 7 of loi n° 2023-221 of 30 March 2023 (« Descrozaille ») and by article
1 of loi n° 2025-337 of 14 April 2025, in force until 15 April 2028. Advantages, added up, on one determined product
are at most 34 % of its price to the consumer for food and pet food, 40 % for other everyday goods (article D. 441-1 of
the Code de commerce: cleaning, hygiene, beauty).

Word: article L. 443-1, I, of the Code de commerce (article 16 of loi n° 2018-938, « EGalim ») forbids « gratuit » as a
marketing tool for a food product. The DGCCRF's guidelines of 23 October 2024 read it as food and pet food, on any
medium; other words, such as « offert », are allowed. The English "free" is warned about as its translation.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import date

from campaigns.rewards.models import Product

CEILING_PERCENT = {Product.FOOD: 34, Product.PET_FOOD: 34, Product.HOUSEHOLD: 40}
IN_FORCE_UNTIL = date(2028, 4, 15)
EDIBLE = (Product.FOOD, Product.PET_FOOD)
_FREE = re.compile(r"\b(gratuit(?:e|s|es|ement|é)?|free)\b", re.IGNORECASE)
_NOT_OF_PRICE = re.compile(r"\b(?:sugar|gluten|lactose|fat|caffeine|alcohol|cruelty)[- ]free\b", re.IGNORECASE)


def warnings(
    product: Product, *, face_value_minor: int | None, price_minor: int | None, texts: Iterable[str], on: date
) -> list[str]:
    """What a coupon on a product could break, in words; empty when nothing does. `texts` are all that it prints."""
    return [*_ceiling(product, face_value_minor, price_minor, on), *_word(product, texts)]


def is_above(percent: int, value_minor: int, price_minor: int) -> bool:
    """Whether a value is more than so many hundredths of a price; exactly, without fractions."""
    return value_minor * 100 > percent * price_minor


def _ceiling(product: Product, value: int | None, price: int | None, on: date) -> Iterator[str]:
    percent = CEILING_PERCENT.get(product)
    if percent is None or value is None or on > IN_FORCE_UNTIL:
        return
    law = "article 125 of loi n° 2020-1525 (EGalim, Descrozaille)"
    if price is None:
        yield (
            f"French law limits promotions on {_named(product)} to {percent} % of the price, all advantages added up "
            f"({law}): give `price`, so that this can be checked."
        )
    elif is_above(percent, value, price):
        yield (
            f"This coupon is worth {value * 100 / price:.1f} % of the price. French law limits promotions on "
            f"{_named(product)} to {percent} %, all advantages added up ({law})."
        )


def _word(product: Product, texts: Iterable[str]) -> Iterator[str]:
    if product not in EDIBLE:
        return
    for text in texts:
        found = _FREE.search(_NOT_OF_PRICE.sub("", text))
        if found:
            yield (
                f"French law forbids the word {found[0]!r} to sell {_named(product)} (article L. 443-1 of the Code de "
                "commerce, EGalim); write « offert » or the value instead."
            )
            return


def _named(product: Product) -> str:
    return product.value.replace("_", " ") if product is not Product.HOUSEHOLD else "everyday goods"
