"""Under which heading `dsr --help` shows a group of commands."""

REQUESTS = "What people ask for"
DATA = "Data and how long it stays"
LAW = "Agreements, law and accountability"
PEOPLE = "People and contracts"
