"""Passerelle: a scan in a shop becomes a community that acts.

This package is the product with no HTTP in it. The words it uses, one per thing, from the URL to the column:

- organisation: the brand (tenant); owns everything below
- campaign: an objective with targets, a flight (start, end), a budget, and its states draft, live, paused, ended
- place: a shop or spot: position, geofence radius, time zone, opening hours
- token: what a code carries: a printed QR, an NFC tag or a link; belongs to a campaign and usually to a place
- code: the token's public characters, shown in groups: ``7K3Q-9XAB-W4``; the last is a check character
- destination: where a scan leads: the hosted mission page (default) or a URL
- scan: one visit to a token's URL (a *tap* is a scan of an NFC token); never edited, only judged
- verdict: what the log thinks of a scan; always with reasons
- presence: proof that the person was there: 0 claimed, 1 plausible, 2 strong, 3 witnessed
- live code: what the shop's screen shows, another every 30 seconds; scanned in time it proves presence 2
- till code: the six digits of the live code shown on the shop's screen, for typing
- receipt: the signed proof, given to the browser that scanned, that it made that scan
- check-in: the offline act on a scan, once per scan
- participant: a pseudonymous person who joined; no account needed
- mission, step: a shared goal and the acts that make it up; a step is offline or online
- idea: what a participant proposes in a mission
- notice: what the law asks an organisation to show, as the health message for food; on every page and sheet
- version: a legal text as it was in force from an instant on; never changed
- raw, human, verified: every GET; without bots, previews and prefetches; human, valid and confirmed by a browser
"""
