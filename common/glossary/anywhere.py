"""Why a command of any context may be refused before its rules are asked, or whatever they say."""

REFUSALS = {
    "malformed": "it has not the form that is declared; the message names the field",
    "too-large": "its body is too long",
    "unknown-command": "the context knows no command of this name",
    "not-allowed": "the sender has none of its roles",
    "version-mismatch": "the stream has another version than `If-Match` says",
    "command-id-used": "its id belongs to another command of the same sender",
    "person-erased": "it holds data of a person whose key has been destroyed",
    "unstorable": "the store does not take it",
}
