"""`daybook key`: a principal's secrets for a shell, without a look into a file."""

import click

from common.config import Settings
from common.principals import add_principal


@click.command()
@click.argument("principal")
@click.option("--nats", is_flag=True, help="The NATS password instead of the API key.")
@click.option("--add", is_flag=True, help="Add it, or the roles it lacks, to a data folder from before it.")
def key(principal: str, nats: bool, add: bool) -> None:
    """Print the API key of PRINCIPAL, as the credentials file holds it.

    \b
    curl -H "X-API-Key: $(daybook key storefront)" http://127.0.0.1:8000/orders

    With --add, one of the principals that Daybook comes with is made as in a new data folder.
    """
    settings = Settings.from_env()
    if add and (roles := add_principal(settings, principal)):
        text = f"{principal} has the roles {', '.join(roles)} from the next start of `daybook up` on"
        click.echo(text, err=True)
    click.echo(settings.password(principal) if nats else settings.api_key(principal))
