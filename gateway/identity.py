"""Who asks: the principal of an API key."""

from common.principals import Principal, Principals
from gateway.http import Asked
from gateway.problems import Problem


def identified(asked: Asked, principals: Principals) -> Principal:
    """The principal whose key the request carries, as `Authorization: Bearer` or `X-API-Key`. Raises a 401 problem."""
    given = asked.headers.get(b"authorization")
    if given is None:
        key = asked.headers.get(b"x-api-key", b"")
    else:
        scheme, _, key = given.partition(b" ")
        if scheme.lower() != b"bearer":
            key = b""
    principal = principals.authenticate(key.strip().decode("latin-1")) if key else None
    if principal is None:
        code, detail = ("unknown-key", "this API key is not known") if key else ("no-key", "an API key is needed")
        how = "send it as `Authorization: Bearer <key>` or `X-API-Key: <key>`"
        challenge = b'Bearer realm="daybook"' + (b', error="invalid_token"' if key else b"")
        raise Problem(401, code, f"{detail}; {how}", (b"www-authenticate", challenge))
    return principal


def permit(principal: Principal, roles: frozenset[str], what: str) -> None:
    """Raises a 403 problem unless the principal has one of the roles."""
    if not principal.roles & roles:
        needed = sorted(roles)
        raise Problem(403, "not-allowed", f"{what} takes one of the roles: {', '.join(needed)}", roles=needed)
