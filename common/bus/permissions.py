"""Who may say and hear what on NATS (design section 11, protocol P4).

The server checks the subject of a message, not its reply subject, and under that it publishes with its own rights: an
acknowledgement without a body is, on a subject of the API, a request to delete a stream. So each principal has an
account to itself. Only what it may say and hear passes between that and ours; whatever reply subject it names lies in
its own account, where nobody else is. So have buckets: wherever who watches has it delivered, nothing else is there.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from common.bus.provision import COMMANDS, events_stream
from common.messages import Command
from common.principals import WATCH, Entry
from common.servers.accounts import NatsUser
from common.subjects import APART, ERASED

EVERYTHING = [">"]
NEWS = ["moved.*", "event.>"]
"""What those hear who wait for a read model, or for a stream's next event."""

Followed = Mapping[str, Collection[str]]
NOBODY: Followed = {}


def nats_users(
    principals: Iterable[Entry],
    commands: Mapping[str, Sequence[type[Command]]],
    queries: Iterable[str],
    hashes: Mapping[str, str],
    followed: Followed = NOBODY,
    buckets: Sequence[str] = (),
) -> list[NatsUser]:
    """Every user with its rights. `commands` are by context, `queries` are names of types, `hashes` those of our own
    users' passwords by user; `followed` are the contexts whose events each context reads, beside its own; `buckets` are
    the names of those that who has the role `watch` may watch."""
    contexts, queries = sorted(commands), sorted(queries)
    rights = own_rights(contexts, followed, buckets)
    users = [NatsUser(name, hashes[name], publish, subscribe) for name, (publish, subscribe) in rights.items()]
    for entry in principals:
        roles = frozenset(entry.roles)
        publish = [
            f"command.{entry.name}.{context}.*.{command.__name__}"
            for context in contexts
            for command in commands[context]
            if command.declared.post and command.declared.roles & roles
        ]
        publish += [f"query.{entry.name}.{query}" for query in queries]
        publish += watching(buckets) if WATCH in roles else []
        hears = [inbox(entry.name), f"receipt.{entry.name}.>"]
        users.append(NatsUser(entry.name, entry.nats_bcrypt, publish, hears, apart=True))
    return users


def own_rights(
    contexts: Sequence[str], followed: Followed = NOBODY, buckets: Sequence[str] = ()
) -> dict[str, tuple[list[str], list[str]]]:
    """Our own processes: what each may publish and what it may subscribe."""
    streams = [events_stream(context) for context in contexts]
    rights = {
        # What it asks of buckets is named, so that our account imports it.
        "admin": ([*EVERYTHING, *providing(buckets)], EVERYTHING),
        # It checks the API key and then speaks for the principal.
        "gateway": (
            [
                *("command.>", "query.>", "beat.>", f"$JS.API.STREAM.MSG.GET.{COMMANDS}"),
                *(f"$JS.API.DIRECT.GET.KV_{bucket}.>" for bucket in buckets),
            ],
            [inbox("gateway"), "receipt.>", "beat.>", *NEWS],
        ),
        # An answer can land in an inbox only, or wherever the server knows that a principal waits for it.
        "answers": (["_INBOX.>", f"{APART}>"], ["query.>"]),
        "projectors": (
            ["beat.>", "moved.*", *reading(streams), *keeping(buckets)],
            [inbox("projectors"), "beat.>", "receipt.>", *NEWS],
        ),
    }
    for context in contexts:
        user = f"context-{context}"
        read = sorted({context, *followed.get(context, ())})
        publish = [
            f"event.{context}.>",
            f"command.{context}.>",  # As the principal of its reactions.
            f"receipt.*.{context}.>",
            f"hint.{context}",
            "beat.>",
            "moved.*",
            f"$JS.API.STREAM.PURGE.{COMMANDS}",
            *reading([COMMANDS, *(events_stream(each) for each in read)]),
        ]
        rights[user] = (publish, [inbox(user), f"hint.{context}", ERASED, f"receipt.*.{context}.*"])
    return rights


def reading(streams: Iterable[str]) -> list[str]:
    """What a reader asks JetStream: places, single messages, and consumers of its own.

    A permission knows whole tokens only, and a consumer's name is one: so who reads a stream could delete or take over
    another's consumer of that stream, had it the name. Names are random and none of ours may list them or hear of them.
    """
    verbs = (
        "STREAM.INFO.{}",
        "STREAM.MSG.GET.{}",
        "CONSUMER.CREATE.{}.>",
        "CONSUMER.DELETE.{}.*",
        "CONSUMER.INFO.{}.*",
        "CONSUMER.MSG.NEXT.{}.*",
    )
    return [f"$JS.API.{verb.format(stream)}" for stream in streams for verb in verbs]


def providing(buckets: Iterable[str]) -> list[str]:
    """What who makes and mends buckets asks."""
    return [
        f"$JS.API.STREAM.{verb}.KV_{bucket}" for bucket in buckets for verb in ("CREATE", "UPDATE", "INFO", "DELETE")
    ]


def keeping(buckets: Iterable[str]) -> list[str]:
    """What who keeps a bucket asks: to make it when it is lost, to look at it and to put."""
    verbs = ("STREAM.CREATE.KV_{}", "STREAM.INFO.KV_{}", "DIRECT.GET.KV_{}", "DIRECT.GET.KV_{}.>")
    return [
        subject
        for bucket in buckets
        for subject in (f"$KV.{bucket}.>", *(f"$JS.API.{verb.format(bucket)}" for verb in verbs))
    ]


def watching(buckets: Iterable[str]) -> list[str]:
    """What NATS clients ask to get from a bucket and to watch it by push consumers, and nothing that changes it.

    The server delivers to a consumer wherever that says, in the account of buckets: that has nothing else in it. And
    what lies in a bucket never carries our version header. A consumer is told on `$JS.FC` that it may go on.
    """
    verbs = (
        "STREAM.INFO.KV_{}",
        "STREAM.MSG.GET.KV_{}",
        "DIRECT.GET.KV_{}",
        "DIRECT.GET.KV_{}.>",
        "CONSUMER.CREATE.KV_{}",
        "CONSUMER.CREATE.KV_{}.>",
        "CONSUMER.DELETE.KV_{}.*",
        "CONSUMER.INFO.KV_{}.*",
    )
    asked = [f"$JS.API.{verb.format(bucket)}" for bucket in buckets for verb in verbs]
    return asked + [f"$JS.FC.KV_{bucket}.>" for bucket in buckets]


def inbox(user: str) -> str:
    """Where answers to a user arrive."""
    return f"_INBOX.{user}.>"
