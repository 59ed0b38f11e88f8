"""The formulas of scans, people and targets."""

from campaigns.stats.formula import Formula, Words

SCANS = (
    Formula(
        "inflation/1",
        Words(
            "Inflation",
            "How many times more scans a naive counter shows than were confirmed. Nothing while none is confirmed.",
            "raw scans / verified scans",
        ),
        Words(
            "Gonflement",
            "Combien de scans un compteur naïf montre pour un scan confirmé. Rien tant qu’aucun ne l’est.",
            "scans reçus / scans confirmés",
        ),
    ),
    Formula(
        "unique_visitors/1",
        Words(
            "Unique visitors",
            "Different phones of a civil day, by a keyed hash whose salt is then destroyed: the same person on another "
            "day is another visitor. Exact below 4,096; above, 1.6 % off is one standard error at most.",
            "up to 4,095 keys: how many there are; else (4,096 − 1) / the 4,096th smallest key as a share of all",
        ),
        Words(
            "Visiteurs uniques",
            "Les téléphones différents d’un jour civil, par une empreinte dont le sel est ensuite détruit : la même "
            "personne un autre jour est un autre visiteur. Exact au-dessous de 4 096 ; au-delà, l’erreur type est "
            "de 1,6 % au plus.",
            "jusqu’à 4 095 clés, leur nombre ; sinon (4 096 − 1) / la 4 096e plus petite clé en part de toutes",
        ),
        "Bar-Yossef et al. 2002; Beyer et al. 2007 (k minimum values)",
    ),
    Formula(
        "held_share/1",
        Words(
            "Share held back",
            "How much of what people scanned waits for a judgement.",
            "held scans / human scans",
        ),
        Words(
            "Part en attente",
            "Ce qui, parmi les scans de personnes, attend d’être jugé.",
            "scans en attente / scans de personnes",
        ),
    ),
    Formula(
        "silent_code/1",
        Words(
            "A code gone silent",
            "A code that was scanned every so many days, and has not been for longer than it ever was.",
            "no scan for a day at least, and for longer than its habit of the last 28 days explains",
        ),
        Words(
            "Un code devenu muet",
            "Un code scanné tous les tant de jours, et qui ne l’est plus depuis plus longtemps que d’habitude.",
            "aucun scan depuis un jour au moins, et depuis plus longtemps que ses 28 derniers jours ne l’expliquent",
        ),
    ),
    Formula(
        "same_time_last_week/1",
        Words(
            "Against last week",
            "Today so far, beside the same weekday a week ago up to the same time.",
            "today until now; the same weekday last week until the same time of day",
        ),
        Words(
            "Face à la semaine dernière",
            "Aujourd’hui jusqu’ici, à côté du même jour de la semaine dernière jusqu’à la même heure.",
            "aujourd’hui jusqu’à maintenant ; le même jour la semaine dernière, jusqu’à la même heure",
        ),
    ),
)

PEOPLE = (
    Formula(
        "bridge_rate/1",
        Words(
            "Bridge rate",
            "Of the people who came to a place, those who then acted online: wrote an idea.",
            "people with a counted check-in and a later idea / people with a counted check-in",
        ),
        Words(
            "Taux de passage en ligne",
            "Parmi les personnes venues dans un lieu, celles qui ont ensuite agi en ligne : proposé une idée.",
            "personnes avec un passage confirmé, puis une idée / personnes avec un passage confirmé",
        ),
    ),
    Formula(
        "bridge_rate/2",
        Words(
            "Bridge rate",
            "Of the people who came to a place, those who then acted online in any way: an idea, or an online step.",
            "people with a counted check-in and a later online act / people with a counted check-in",
        ),
        Words(
            "Taux de passage en ligne",
            "Parmi les personnes venues dans un lieu, celles qui ont ensuite agi en ligne, par une idée ou une étape.",
            "personnes avec un passage confirmé, puis un acte en ligne / personnes avec un passage confirmé",
        ),
    ),
    Formula(
        "return_rate/1",
        Words(
            "Return rate",
            "Of the coupons of people who had acted online, those that came back to a shop.",
            "coupons redeemed / coupons issued, to people who had acted online before",
        ),
        Words(
            "Taux de retour",
            "Parmi les bons de personnes qui avaient agi en ligne, ceux qui sont revenus en magasin.",
            "bons utilisés / bons émis, aux personnes qui avaient déjà agi en ligne",
        ),
    ),
    Formula(
        "insider_share/1",
        Words(
            "Insider share",
            "How much of what was done was done by the brand’s own team.",
            "acts by employees / acts, since the launch",
        ),
        Words(
            "Part de l’équipe",
            "Ce qui, parmi les actes, vient de l’équipe de la marque elle-même.",
            "actes de l’équipe / actes, depuis le lancement",
        ),
    ),
    Formula(
        "k_factor/1",
        Words(
            "Word of mouth (K)",
            "New people whom each person brought to a place. Not shown for groups under five people.",
            "new people brought, with a verified act in a place / people",
        ),
        Words(
            "Bouche-à-oreille (K)",
            "Les nouvelles personnes que chacun a fait venir dans un lieu. Pas montré sous cinq personnes.",
            "nouvelles personnes venues par invitation, avec un acte confirmé dans un lieu / personnes",
        ),
    ),
    Formula(
        "funnel/1",
        Words(
            "Funnel",
            "How many got how far, from the scan to the coupon used in a shop, and how long that took.",
            "people by their first counted check-in, then those of them who did each further step until now",
        ),
        Words(
            "Entonnoir",
            "Combien sont allés jusqu’où, du scan au bon utilisé en magasin, et en combien de temps.",
            "les personnes par leur premier passage confirmé, puis celles qui ont franchi chaque étape suivante",
        ),
    ),
    Formula(
        "drop_off/1",
        Words(
            "Drop-off",
            "Where people stopped, by place or code.",
            "people who did a step and not the next one / people who did the step",
        ),
        Words(
            "Abandon",
            "Où les personnes se sont arrêtées, par lieu ou par code.",
            "personnes qui ont fait une étape et pas la suivante / personnes qui ont fait l’étape",
        ),
    ),
    Formula(
        "cohort_retention/1",
        Words(
            "Cohort retention",
            "Of the people won in a week, those who acted again so many weeks later.",
            "people of a week who did any act n weeks later / people won in that week",
        ),
        Words(
            "Fidélité par cohorte",
            "Parmi les personnes gagnées une semaine donnée, celles qui ont agi de nouveau n semaines plus tard.",
            "personnes de la semaine qui ont agi n semaines plus tard / personnes gagnées cette semaine-là",
        ),
    ),
)

TARGETS = (
    Formula(
        "progress/1",
        Words("Progress", "How far a target is.", "value / target"),
        Words("Avancement", "Où en est une cible.", "valeur / cible"),
    ),
    Formula(
        "expected/1",
        Words(
            "Expected by now",
            "What the target asks for by now, if it came evenly over the flight.",
            "target × time gone / whole time; of a rate, the target itself",
        ),
        Words(
            "Attendu à ce jour",
            "Ce que la cible demande à ce jour, si tout venait régulièrement pendant la campagne.",
            "cible × temps écoulé / temps total ; pour un taux, la cible elle-même",
        ),
    ),
    Formula(
        "forecast/1",
        Words(
            "Forecast",
            "What it will have come to at the end if the days to come go as the last 28 went, a weekday as its own "
            "weekdays. From seven whole days on; a rate is held as it is.",
            "so far + Σ days left × mean of their weekday; 95 % interval: Student’s t × √(variance of the days × "
            "(Σ parts² + Σ days²/n)); of a rate: Wilson’s interval",
        ),
        Words(
            "Prévision",
            "Ce que l’on aura à la fin si les jours à venir vont comme les 28 derniers, chacun comme ses "
            "semblables. À partir de sept jours entiers ; un taux est tenu pour constant.",
            "acquis + Σ jours restants × moyenne de leur jour de semaine ; intervalle à 95 % : t de Student × "
            "√(variance des jours × (Σ parts² + Σ jours²/n)) ; pour un taux, l’intervalle de Wilson",
        ),
        "Wilson 1927",
    ),
    Formula(
        "answer/1",
        Words(
            "The answer",
            "Positive or negative, in one word: by the return where that is proven, else by the targets.",
            "the verdict of ROI where its interval does not hold zero; else positive where every measured target is "
            "reached or, before the end, has what is expected by now; negative where none is, mixed between; too early "
            "in the first tenth of the flight",
        ),
        Words(
            "La réponse",
            "Positif ou négatif, en un mot : selon le retour s’il est prouvé, sinon selon les cibles.",
            "le verdict du retour sur investissement si son intervalle ne contient pas zéro ; sinon positif quand "
            "chaque cible mesurée est atteinte ou, avant la fin, a ce qui est attendu à ce jour ; négatif quand aucune "
            "ne l’est, mitigé entre les deux ; trop tôt dans le premier dixième de la durée",
        ),
    ),
)
