"""The formulas of money."""

from campaigns.stats.formula import Formula, Words

MONEY = (
    Formula(
        "cost/1",
        Words(
            "Cost",
            "All that the campaign cost. Rewards: the face value of coupons that were used or given to a cause, a "
            "pilot’s too. Pledges: what acts made due, only where the sponsor is the advertiser itself.",
            "media + print + staff hours + rewards redeemed + own pledges + fees + other costs",
        ),
        Words(
            "Coût",
            "Tout ce que la campagne a coûté. Récompenses : la valeur des bons utilisés ou donnés à une cause, ceux "
            "d’un pilote aussi. Engagements : ce que les actes ont rendu dû, si le partenaire est l’annonceur.",
            "médias + impression + heures du personnel + bons utilisés + engagements propres + frais + autres",
        ),
    ),
    Formula(
        "cost_per_act/1",
        Words("Cost per verified act", "What one verified step of a mission cost.", "cost / verified step completions"),
        Words("Coût par acte confirmé", "Ce qu’a coûté une étape confirmée.", "coût / étapes confirmées"),
    ),
    Formula(
        "cost_per_visit/1",
        Words(
            "Cost per verified visit",
            "What one visit cost; a person, code and day count once.",
            "cost / check-ins that count",
        ),
        Words(
            "Coût par passage confirmé",
            "Ce qu’a coûté un passage ; une personne, un code et un jour comptent une fois.",
            "coût / passages confirmés",
        ),
    ),
    Formula(
        "cost_per_redemption/1",
        Words("Cost per redemption", "What one coupon used in a shop cost in all.", "cost / coupons redeemed"),
        Words("Coût par bon utilisé", "Ce qu’a coûté en tout un bon utilisé en magasin.", "coût / bons utilisés"),
    ),
    Formula(
        "incremental_conversions/1",
        Words(
            "Incremental conversions",
            "Conversions that would not have come without the campaign: those of the exposed places, less what they "
            "would have had at the rate of the places held out.",
            "C_t − N_t × C_h / N_h (C conversions, N exposures, t exposed, h held out)",
        ),
        Words(
            "Conversions en plus",
            "Les conversions qui ne seraient pas venues sans la campagne : celles des lieux exposés, moins ce qu’ils "
            "auraient eu au taux des lieux témoins.",
            "C_t − N_t × C_h / N_h (C conversions, N expositions, t exposés, h témoins)",
        ),
    ),
    Formula(
        "incremental_revenue/1",
        Words(
            "Incremental revenue",
            "The same, of the amounts of conversions.",
            "R_t − N_t × R_h / N_h (R revenue)",
        ),
        Words(
            "Chiffre d’affaires en plus",
            "De même, avec les montants des conversions.",
            "R_t − N_t × R_h / N_h (R chiffre d’affaires)",
        ),
    ),
    Formula(
        "lift_interval/1",
        Words(
            "95 % interval",
            "Drawn again and again, such intervals hold the true figure 95 times in 100. Places were drawn, so what "
            "differs from place to place is chance; the chance of single sales is the least there is. With fewer than "
            "5 places, or 20 conversions, on a side nothing is said.",
            "the wider of: Student’s t (Welch, Kish) × √(Σ e²/(1 − n/N) of each side), e = C − N × rate of its side; "
            "and 1.96 × √(Σ a² + (N_t/N_h)² × Σ a²), a each amount",
        ),
        Words(
            "Intervalle à 95 %",
            "À force de tirages, de tels intervalles contiennent la vraie valeur 95 fois sur 100. Le tirage porte sur "
            "des lieux : ce qui diffère d’un lieu à l’autre est donc du hasard ; celui de chaque vente est un minimum. "
            "Avec moins de 5 lieux, ou de 20 conversions, d’un côté, rien n’est dit.",
            "le plus large de : t de Student (Welch, Kish) × √(Σ e²/(1 − n/N) des deux côtés), e = C − N × taux ; "
            "et 1,96 × √(Σ a² + (N_t/N_h)² × Σ a²), a chaque montant",
        ),
        "Cochran, Sampling Techniques, 6.9; Bell and McCaffrey 2002; Welch 1947; Kish 1965",
    ),
    Formula(
        "incremental_profit/1",
        Words(
            "Incremental profit",
            "What is left of the incremental revenue, less what the campaign cost.",
            "incremental revenue × margin − cost",
        ),
        Words(
            "Profit en plus",
            "Ce qui reste du chiffre d’affaires en plus, moins le coût de la campagne.",
            "chiffre d’affaires en plus × marge − coût",
        ),
    ),
    Formula(
        "roi/1",
        Words(
            "ROI",
            "What each unit of cost brought beyond itself. When the interval holds zero it is “not proven”; without "
            "places held out it is “not measured”.",
            "incremental profit / cost, with its 95 % interval",
        ),
        Words(
            "Retour sur investissement",
            "Ce que chaque unité de coût a rapporté en plus d’elle-même. Si l’intervalle contient zéro, c’est "
            "« non prouvé » ; sans lieux témoins, c’est « non mesuré ».",
            "profit en plus / coût, avec son intervalle à 95 %",
        ),
    ),
    Formula(
        "iroas/1",
        Words(
            "iROAS",
            "Incremental revenue for each unit of cost. It knows no margin: above 1 is not yet a profit.",
            "incremental revenue / cost",
        ),
        Words(
            "iROAS",
            "Le chiffre d’affaires en plus par unité de coût. Il ignore la marge : au-dessus de 1, ce n’est pas "
            "encore un profit.",
            "chiffre d’affaires en plus / coût",
        ),
    ),
)
