"""What the demo's shoppers carry and say."""

import random

PEOPLE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; Pixel 8a) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile "
    "Safari/537.36",
    "Mozilla/5.0 (Linux; Android 14; SM-A546B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 "
    "Chrome/125.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Android 14; Mobile; rv:143.0) Gecko/143.0 Firefox/143.0",
)
ROBOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "WhatsApp/2.23.20.0",
    "python-requests/2.32.3",
)
TREES = {
    "fr": (
        "Des figuiers le long du mur sud",
        "Un cerisier par classe",
        "Des pommiers anciens",
        "Des framboises à la hauteur des petits",
        "Des poiriers en espalier",
        "Un néflier, comme chez ma grand-mère",
        "Des noisetiers près de la clôture",
        "Un grand tilleul pour l’ombre",
        "Des vignes sur la pergola",
        "Deux pruniers qui se répondent",
        "Un kaki pour l’hiver",
        "Des groseilliers entre les arbres",
    ),
    "en": ("Plum trees", "Hazelnuts along the fence", "An old pear tree", "A fig by the south wall", "Raspberries"),
}
WISHES = {
    "fr": (
        "et des bancs en bois pour lire dehors.",
        "avec une étiquette dessinée par les enfants.",
        "arrosés à tour de rôle par les élèves.",
        "et une récolte ouverte au quartier en septembre.",
        "avec un composteur pour les restes de la cantine.",
        "et un nichoir fabriqué en classe.",
        "arrosés par l’eau de pluie du préau.",
        "pour que les petits voient passer les saisons.",
        "et un goûter partagé à la première récolte.",
        "avec un carnet où noter les fleurs et les fruits.",
    ),
    "en": ("with a label drawn by the children.", "and a harvest day with the neighbours.", "to read under in June."),
}


def idea_text(chance: random.Random, language: str) -> str:
    """An idea somebody might have."""
    return f"{chance.choice(TREES[language])} {chance.choice(WISHES[language])}"
