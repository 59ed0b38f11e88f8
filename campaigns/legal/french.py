"""The legal texts in French. A no-break space before : ; ! ? and inside « » is set at the end, for all of them."""

import re
from typing import Final

from babel.numbers import format_decimal

from campaigns.legal import terms
from campaigns.legal.facts import Body, Publisher, Rules, Section, StepFacts, Text, on_one_line
from campaigns.missions.models import text_in
from campaigns.sponsorship import money

_NOT_GIVEN: Final = "pas encore indiqué"
_PROOF: Final = {
    0: "scanner le code suffit",
    1: "il faut montrer que vous êtes sur place : votre position, le code de caisse ou le code affiché à l’écran",
    2: "il faut une preuve forte : le code de caisse ou le code du moment affiché à l’écran du magasin",
    3: "l’équipe du magasin doit le confirmer",
}
_REPEAT: Final = {"once": "une fois", "daily": "une fois par jour", "weekly": "une fois par semaine"}
_KIND: Final = {
    "scan": "Passer en magasin et scanner le code",
    "visit_places": "Visiter plusieurs lieux",
    "trail": "Suivre le parcours",
    "staff_validated": "Le faire confirmer en magasin",
    "bring_friend": "Venir avec quelqu’un",
    "idea": "Proposer une idée",
    "vote": "Voter pour une idée",
    "comment": "Donner son avis",
    "answer": "Répondre à une question",
    "rate": "Donner une note",
    "share": "En parler autour de soi",
    "referral": "Inviter quelqu’un qui vient en magasin",
    "external": "Le faire chez un partenaire",
}
_GOAL: Final = {"check_ins": "passages confirmés", "participants": "participants", "completions": "étapes accomplies"}


def legal_notice(who: Publisher) -> Text:
    """Who publishes the pages and who hosts them (LCEN, loi n° 2004-575, article 1-1)."""
    return _text(
        "Mentions légales",
        f"Ces pages sont publiées par {who.who}.",
        Section(
            "Éditeur",
            (
                (
                    f"Dénomination : {_given(who.legal_name, feminine=True)}",
                    *([f"Forme juridique : {who.legal_form}"] if who.legal_form else []),
                    f"Adresse : {_given(on_one_line(who.address), feminine=True)}",
                    f"Immatriculation : {_given(who.registration, feminine=True)}",
                    f"Courriel : {_given(who.contact_email)}",
                    f"Téléphone : {_given(who.contact_phone)}",
                ),
            ),
        ),
        Section("Directeur ou directrice de la publication", (_sentence(who.publication_director),)),
        Section(
            "Hébergeur",
            (
                (
                    f"Nom : {_given(who.host_name)}",
                    f"Adresse : {_given(on_one_line(who.host_address), feminine=True)}",
                    f"Téléphone : {_given(who.host_phone)}",
                ),
            ),
        ),
        Section(
            "Contenus publiés par les participants",
            (
                "Les idées affichées sur les pages de mission sont écrites par des participants, sous un nom inventé. "
                f"Pour signaler un contenu illicite ou vous plaindre d’une page, contactez-nous : {_contact(who)}. "
                "Chaque page de code porte aussi un lien « Signaler ce code ».",
            ),
        ),
    )


def privacy_notice(who: Publisher) -> Text:
    """What is kept about whom, why and how long (RGPD, article 13)."""
    return _text(
        "Vie privée",
        "Nous gardons le moins possible : pas de compte, pas d’adresse IP, pas de publicité, aucune revente.",
        Section("Responsable et sous-traitant", _who_decides(who)),
        Section("Quand vous scannez un code", _scans()),
        Section("Si vous partagez votre position", _position()),
        Section("Si vous participez", _participation()),
        Section("Ce qui reste en chiffres", _figures()),
        Section("Les cookies", _cookies(who)),
        Section("Qui voit ces données", _recipients(who)),
        Section("À partir de 15 ans", _age()),
        Section("Vos droits", _rights(who)),
    )


def rules(of: Rules) -> Text:
    """What a mission promises and asks, how acts are judged, and how to appeal."""
    title = text_in(of.title, "fr")
    return _text(
        "Règles de la mission",
        title,
        Section("La promesse", (text_in(of.promise, "fr"), _goal(of))),
        Section("Dates et lieux", (_dates(of), _places())),
        Section("Les étapes", ("Voici ce que la mission propose :", tuple(_step(one) for one in of.steps))),
        *_money(of),
        Section("Les limites", _limits(of)),
        Section("Comment les passages sont vérifiés", _judging()),
        Section("Contester une décision", _appeal(of.publisher)),
        Section("Si vous effacez votre navigateur", _cleared()),
        Section("À partir de 15 ans", _age()),
        Section("Qui organise", (_organiser(of.publisher),)),
    )


def _who_decides(who: Publisher) -> Body:
    address = f", {on_one_line(who.address)}" if who.address else ""
    host = f"{who.host_name}{f', {on_one_line(who.host_address)}' if who.host_address else ''}"
    run_by = (
        f"Le service Passerelle traite ces données pour son compte et sur ses seules instructions, sur les serveurs de "
        f"son sous-traitant : {host}."
        if who.host_name
        else "Le service Passerelle traite ces données pour son compte et sur ses seules instructions. Le "
        "sous-traitant "
        "qui l’héberge n’est pas encore indiqué."
    )
    contact = who.privacy or "pas encore indiqué"
    return (
        f"Le responsable du traitement est {who.who}{address}.",
        run_by,
        f"Pour toute question sur vos données : {on_one_line(contact)}.",
    )


def _scans() -> Body:
    return (
        "Nous notons le moment, le code et son lieu, le type d’appareil et sa langue, le pays ou la région si "
        "le réseau "
        "les donne, et si la visite paraît sincère. Ni votre adresse IP ni l’identité de votre téléphone ne sont "
        "écrites : une empreinte chiffrée, différente chaque jour, évite de compter deux fois la même personne. La clé "
        f"qui la fabrique est détruite au bout de {terms.SALT_HOURS} heures au plus.",
        "Pourquoi : compter honnêtement les passages et écarter les robots et les abus. Base légale : l’intérêt "
        "légitime (article 6.1.f du RGPD).",
        f"Combien de temps : {terms.SCAN_MONTHS} mois. Si vous signalez un code, votre message est gardé de "
        "même ; nous "
        "ne savons pas qui l’a écrit.",
    )


def _position() -> Body:
    return (
        "Seulement si vous touchez « Partager ma position ». Elle sert à vérifier que vous êtes dans le lieu, "
        "et à rien "
        "d’autre. Un refus ne ferme aucune page : le code de caisse prouve autant.",
        "Base légale : votre consentement (article 6.1.a du RGPD), que vous retirez en effaçant vos données sur "
        "« Ma page ».",
        f"Combien de temps : chiffrée, {terms.POSITION_HOURS} heures. Ensuite il ne reste que « dans le lieu », "
        "« peut-être » ou « ailleurs ».",
    )


def _participation() -> Body:
    return (
        "Nous gardons un nom inventé, votre langue, vos passages, les étapes accomplies et les idées que vous écrivez. "
        "Vos idées sont publiques sous ce nom inventé, comme ce que vous écrivez en réponse à une question ; les "
        "autres réponses sont seulement comptées.",
        "Si vous venez par le lien de quelqu’un, nous gardons que cette personne vous a invité, sauf si votre "
        f"navigateur s’y oppose ou si vous avez moins de {terms.LEAST_AGE} ans. Aucun de vous n’apprend qui est "
        "l’autre. Pour distinguer deux personnes d’une seule, nous gardons une clé du téléphone qui a demandé un "
        "lien ; passé ce jour, elle ne mène plus à aucun téléphone.",
        "Pourquoi : tenir la mission à laquelle vous avez choisi de participer, selon ses règles. Base légale : "
        "l’exécution de cet engagement (article 6.1.b du RGPD).",
        f"Combien de temps : jusqu’à la fin de la campagne et {terms.PARTICIPANT_DAYS} jours.",
        "Si vous choisissez de laisser une adresse e-mail, là où c’est proposé : nous la gardons chiffrée et à part, "
        "nous n’y écrivons que pour trois raisons (une réponse à vous, le résultat de votre vote, votre mission "
        "accomplie), et nous l’effaçons par le lien de chaque message, sur votre page, ou au bout d’un jour si elle "
        "n’a pas été confirmée. Base légale : votre consentement (article 6.1.a du RGPD).",
    )


def _figures() -> Body:
    return (
        f"Les totaux par heure et par lieu, qui ne désignent personne, sont gardés {terms.AGGREGATE_MONTHS} mois.",
        f"Quand de l’argent est promis à une cause, ses comptes sont gardés {terms.LEDGER_YEARS} ans sous un "
        "numéro tiré "
        "au hasard, comme la loi comptable le demande (article 6.1.c du RGPD).",
        "Les messages techniques envoyés aux outils de l’organisateur ne contiennent que des numéros ; leur "
        "contenu est "
        f"effacé après {terms.DELIVERY_DAYS} jours.",
    )


def _cookies(who: Publisher) -> Body:
    return (
        "Scanner un code ne dépose rien sur votre téléphone. C’est pourquoi nous ne montrons pas de bandeau.",
        (
            f"{who.cookie} : déposé quand vous participez, pour vous reconnaître ; {terms.COOKIE_DAYS} jours au plus. "
            "Strictement nécessaire : sans lui, votre participation ne serait pas retrouvée.",
            "passerelle_staff : seulement sur le téléphone d’un magasin, quand son équipe se connecte.",
        ),
        "Aucun cookie de mesure d’audience ni de publicité, aucun contenu d’un autre site.",
    )


def _recipients(who: Publisher) -> Body:
    return (
        f"L’équipe de {who.who} et les magasins participants voient des chiffres et des idées. Les mécènes "
        "d’une mission "
        "voient des totaux, jamais une personne. Rien n’est vendu.",
    )


def _age() -> Body:
    return (
        f"Pour écrire une idée ou partager sa position, il faut avoir {terms.LEAST_AGE} ans ou plus. Avant "
        f"{terms.LEAST_AGE} ans, on peut scanner et valider son passage.",
    )


def _rights(who: Publisher) -> Body:
    return (
        (
            "Voir et emporter : « Ma page » montre ce que ce téléphone détient et permet de l’exporter.",
            "Effacer : « Ma page » encore. Votre nom inventé et ce qui s’y rattache disparaissent ; les totaux restent "
            "justes, sans vous.",
            "Vous opposer : activez « Global Privacy Control » ou « Ne pas me suivre » dans votre navigateur. Vos "
            "passages ne sont alors pas reliés d’une campagne à l’autre, et rien n’est partagé avec les mécènes.",
            "Corriger, limiter, ou toute autre demande : "
            f"{on_one_line(who.privacy) or 'contact pas encore indiqué'}. Réponse en un mois au plus.",
        ),
        "Comme nous ne savons pas qui vous êtes, le cookie de votre téléphone et le code de reprise que vous pouvez "
        "créer sont les seules clés de vos données : s’ils sont perdus, ni vous ni nous ne les retrouvons.",
        "Si la réponse ne vous convient pas, vous pouvez saisir la CNIL, 3 place de Fontenoy, TSA 80715, 75334 Paris "
        "Cedex 07, www.cnil.fr.",
    )


def _money(of: Rules) -> tuple[Section, ...]:
    """Ce que promettent partenaires et mécènes, dans les mots de chaque engagement."""
    if not of.pledges:
        return ()
    lead = (
        "Les actes confirmés débloquent ce que promettent les partenaires. Passerelle tient les comptes, pas l’argent."
    )
    return (Section("Qui donne quoi", (lead, tuple(f"{one.sponsor} : {one.text['fr']}" for one in of.pledges))),)


def _goal(of: Rules) -> str:
    if of.goal_currency:
        shown = money.shown(of.goal_value, of.goal_currency, "fr")
        return f"Objectif : {shown} débloqués pour la cause. Le montant est public, sur la page de la mission."
    what = _GOAL.get(of.goal_metric, of.goal_metric)
    shown = format_decimal(of.goal_value, locale="fr")
    return f"Objectif : {shown} {what}. Le compteur est public, sur la page de la mission."


def _dates(of: Rules) -> str:
    zone = f"(heure de {of.time_zone})"
    start = of.moment(of.starts_at, "fr") if of.starts_at else ""
    if of.ends_at:
        end = of.moment(of.ends_at, "fr")
        return f"La mission court du {start} au {end} {zone}." if start else f"La mission court jusqu’au {end} {zone}."
    begin = f"court à partir du {start} {zone}" if start else "commence à son lancement"
    return (
        f"La mission {begin}. Elle dure jusqu’à ce que l’organisateur l’annonce terminée : sa fin "
        "n’est pas encore indiquée."
    )


def _places() -> str:
    return (
        "Elle se joue dans les lieux où un code de la campagne est affiché, aux heures d’ouverture, puis sur votre "
        "téléphone. Participer est gratuit et n’oblige à aucun achat."
    )


def _step(step: StepFacts) -> str:
    name = text_in(step.title, "fr") or _KIND.get(step.kind, step.kind)
    return f"{name} : {_REPEAT.get(step.repeat, step.repeat)} ; {_PROOF.get(step.min_presence, '')}."


def _limits(of: Rules) -> Body:
    return (
        (
            "Un seul passage compté par personne, par code et par jour.",
            "Trois minutes au moins entre deux lieux, dix lieux au plus par jour.",
            f"Une idée a {of.idea_limit} caractères au plus.",
            "Un passage envoyé plus de 48 heures après le scan n’est plus pris.",
        ),
    )


def _judging() -> Body:
    return (
        "Chaque scan est enregistré, puis jugé en quelques secondes par les mêmes règles pour tous : répétitions, "
        "robots, distances impossibles, position loin du lieu, codes partagés. Refuser la géolocalisation ne suffit "
        "jamais à écarter un passage.",
        "Rien n’est effacé : un passage douteux reste affiché, avec la raison, et ne compte pas tant qu’il n’est pas "
        "examiné, dans les 72 heures. Les chiffres publics ne comptent que les passages confirmés.",
    )


def _appeal(who: Publisher) -> Body:
    return (
        f"Vous pensez qu’un passage ou une idée a été mal jugé ? Contactez-nous ({_contact(who)}) avec le jour, "
        "l’heure et le lieu, ou adressez-vous à l’équipe du magasin. Une personne regarde et vous répond.",
    )


def _cleared() -> Body:
    return (
        "Votre participation tient à un seul cookie, sur ce téléphone. Si vous l’effacez sans avoir gardé un code de "
        "reprise, vous devenez une nouvelle personne : ce que vous avez fait compte toujours, mais ne vous est plus "
        "rattaché. Deux noms qui s’avèrent être ceux d’une même personne n’en font plus qu’un, et ce qu’une personne "
        "peut faire une fois compte une fois.",
        "Les étapes qui ne demandent pas de preuve forte peuvent donc être refaites par la même personne. Nous le "
        "disons ici plutôt que de vous demander un compte.",
    )


def _organiser(who: Publisher) -> str:
    address = f", {on_one_line(who.address)}" if who.address else ""
    return f"{who.who}{address}. Contact : {_contact(who)}."


def _contact(who: Publisher) -> str:
    return who.contact or "contact pas encore indiqué"


def _given(value: str, *, feminine: bool = False) -> str:
    return value or (f"{_NOT_GIVEN}e" if feminine else _NOT_GIVEN)


def _sentence(value: str) -> str:
    return value or "Pas encore indiqué."


def _text(title: str, lead: str, *sections: Section) -> Text:
    made = tuple(Section(_set(one.heading), tuple(_set_part(part) for part in one.body)) for one in sections)
    return Text(_set(title), _set(lead), made)


def _set_part(part: str | tuple[str, ...]) -> str | tuple[str, ...]:
    return _set(part) if isinstance(part, str) else tuple(_set(one) for one in part)


def _set(text: str) -> str:
    return re.sub(r" (?=[:;!?»])|(?<=«) ", "\u00a0", text)
