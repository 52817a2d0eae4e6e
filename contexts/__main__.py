"""`python -m contexts [names]`: runs the named contexts in this process, or all there are, until SIGTERM.

With `--without-reactions` they decide what they are asked, and ask nothing themselves: no reactions, no deadlines, no
calls outside. What these would have done is done once they run without it.
"""

import asyncio
import signal
import sys
from contextlib import suppress

from common import runtime
from common.config import ConfigError, Settings
from common.discovery import DiscoveryError, contexts
from common.principals import load_principals
from common.shell.context_process import run_contexts

WITHOUT_REACTIONS = "--without-reactions"


def main() -> None:
    try:
        runtime.run(run(sys.argv[1:]))
    except (ConfigError, DiscoveryError) as error:
        sys.exit(f"contexts: {error}")


async def run(words: list[str]) -> None:
    """Until SIGTERM or SIGINT. Raises `ConfigError` when a name is no context or a setting is wrong."""
    found, settings = contexts(), Settings.from_env()
    names = [word for word in words if word != WITHOUT_REACTIONS]
    if unknown := sorted(set(names) - set(found)):
        raise ConfigError(f"there is no context named {', '.join(unknown)}; there are {', '.join(found)}")
    principals = load_principals(settings.principals, found)
    roles = {name: principal.roles for name, principal in principals.names.items()}
    chosen = [found[name] for name in names or found]
    running = asyncio.create_task(run_contexts(settings, chosen, roles, reacting=names == words))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with suppress(asyncio.CancelledError):
        await running


if __name__ == "__main__":
    main()
