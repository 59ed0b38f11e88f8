"""Sponsor money: pledges, what acts accrue on them, payouts, and the ledger it all stands in."""
