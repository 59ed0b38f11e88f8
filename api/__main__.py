"""`python -m api` is `passerelle`."""

from api.cli import main

main()
