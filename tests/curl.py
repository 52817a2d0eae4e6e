"""What curl does with the flags that README uses, for machines that have no curl."""

import sys

import httpx


def main(words: list[str]) -> int:
    """Makes one request as `curl [-w END] URL [-H HEADER]... [-d BODY]` would."""
    end, url, body, headers = "", "", None, {}
    rest = iter(words)
    for word in rest:
        match word:
            case "-w":
                end = next(rest).encode().decode("unicode_escape")
            case "-H":
                name, _, value = next(rest).partition(":")
                headers[name] = value.strip()
            case "-d":
                body = next(rest)
            case _:
                url = word
    method = "GET" if body is None else "POST"
    answer = httpx.request(method, url, content=body, headers=headers, trust_env=False, timeout=60)
    sys.stdout.write(answer.text + end)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
