"""`daybook key`: a principal's secrets for a shell, without a look into a file."""

import click

from common.config import Settings


@click.command()
@click.argument("principal")
@click.option("--nats", is_flag=True, help="The NATS password instead of the API key.")
def key(principal: str, nats: bool) -> None:
    """Print the API key of PRINCIPAL, as the credentials file holds it.

    \b
    curl -H "X-API-Key: $(daybook key storefront)" http://127.0.0.1:8000/orders
    """
    settings = Settings.from_env()
    click.echo(settings.password(principal) if nats else settings.api_key(principal))
