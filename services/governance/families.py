"""Clause families of the policy, one folder each: `domain` (pure), `servicer`, `steps`, `sql/`. A new one is a folder,
a line here, its folder's name in `store.FAMILIES`, and its service in `dsr.services`."""

from collections.abc import Sequence

from services.governance.backups import FAMILY as BACKUPS
from services.governance.breach import FAMILY as BREACH
from services.governance.connectors import FAMILY as CONNECTORS
from services.governance.corrections import FAMILY as CORRECTIONS
from services.governance.ledger.family import FAMILY as LEDGER
from services.governance.locations import FAMILY as LOCATIONS
from services.governance.notifications import FAMILY as NOTIFICATIONS
from services.governance.policies import FAMILY as POLICIES
from services.governance.recipients import FAMILY as RECIPIENTS
from services.governance.records import FAMILY as RECORDS
from services.governance.refusals import FAMILY as REFUSALS
from services.governance.retention import FAMILY as RETENTION
from services.governance.sandbox import FAMILY as SANDBOX
from services.governance.staff import FAMILY as STAFF
from services.governance.termination import FAMILY as TERMINATION
from services.governance.tools import Family
from services.governance.transfers import FAMILY as TRANSFERS

FAMILIES: Sequence[Family] = (
    NOTIFICATIONS,
    CORRECTIONS,
    BACKUPS,
    LOCATIONS,
    CONNECTORS,
    BREACH,
    RECORDS,
    RETENTION,
    REFUSALS,
    TRANSFERS,
    RECIPIENTS,
    TERMINATION,
    POLICIES,
    STAFF,
    SANDBOX,
    LEDGER,
)
