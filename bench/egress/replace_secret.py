"""What the intercepting path does with a secret, as a mitmproxy addon.

The placeholder becomes the value in requests to the secret's own host, a placeholder for another host stops the request,
and the value becomes the placeholder again in what comes back.
"""

import os

from mitmproxy import http

PLACEHOLDER = os.environ["BENCH_PLACEHOLDER"]
VALUE = os.environ["BENCH_VALUE"]
HOST = os.environ["BENCH_HOST"]


def replace_in_fields(fields: http.Headers, old: str, new: str) -> None:
    old_bytes, new_bytes = old.encode(), new.encode()
    fields.fields = tuple((name, value.replace(old_bytes, new_bytes)) for name, value in fields.fields)


def request(flow: http.HTTPFlow) -> None:
    message = flow.request
    content = message.raw_content or b""
    if message.pretty_host != HOST:
        if PLACEHOLDER in message.path or PLACEHOLDER.encode() in bytes(message.headers) + content:
            flow.response = http.Response.make(403)
        return
    message.path = message.path.replace(PLACEHOLDER, VALUE)
    replace_in_fields(message.headers, PLACEHOLDER, VALUE)
    if PLACEHOLDER.encode() in content:
        message.content = message.content.replace(PLACEHOLDER.encode(), VALUE.encode())


def response(flow: http.HTTPFlow) -> None:
    message = flow.response
    replace_in_fields(message.headers, VALUE, PLACEHOLDER)
    content = message.content or b""
    if VALUE.encode() in content:
        message.content = content.replace(VALUE.encode(), PLACEHOLDER.encode())
