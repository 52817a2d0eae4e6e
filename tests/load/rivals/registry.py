"""Everything that the bench measures, in the order of its table."""

from tests.load.rivals.daybook import DAYBOOK
from tests.load.rivals.jetstream import JETSTREAM
from tests.load.rivals.over_http import BARE, GROUP_COMMIT, MONOLITH
from tests.load.rivals.pgbench import PGBENCH
from tests.load.rivals.piped import EMMETT, EVENTSOURCING

SYSTEMS = (DAYBOOK, MONOLITH, GROUP_COMMIT, EVENTSOURCING, EMMETT, PGBENCH, BARE, JETSTREAM)
AGAINST = {
    "http_128": ("monolith", "monolith_at_once", "group_commit_monolith", "bare_litestar"),
    "nats": (
        *("monolith", "group_commit_monolith", "eventsourcing_1", "eventsourcing_8", "emmett_1", "emmett_16"),
        *("pgbench_16", "jetstream"),
    ),
}
"""Which paths are compared: each of Daybook's own with those that take orders as it does."""
