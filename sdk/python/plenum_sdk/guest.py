"""The component's exports: the host calls these classes, they call the plugin. Not for plugins.

An exception that leaves an export aborts the whole instance without a word, so none does.
"""

from __future__ import annotations

# A component has no files: what Python would import at the first use has to be in memory before that.
import _strptime  # noqa: F401
import encodings.idna  # noqa: F401
import encodings.latin_1  # noqa: F401
import encodings.unicode_escape  # noqa: F401
import io
import linecache  # noqa: F401
import logging
import sys
import textwrap  # noqa: F401
import traceback  # noqa: F401
from typing import Any, Callable

from componentize_py_types import Err, Ok
from wit_world.imports import plenum_types_types_0_1_0 as wire

from plenum_sdk import log
from plenum_sdk.error import Error
from plenum_sdk.http import Request, Response
from plenum_sdk.plugin import Plugin, failure

try:
    from wit_world.imports import wasi_http_types_0_2_0 as http
except ImportError:  # The plugin answers no requests.
    http = None

MAX_BODY = 8 << 20
"""Requests have drafts and small files in them, nothing larger."""

started = False


class Lines(io.TextIOBase):
    """What is printed, as lines of the log."""

    def __init__(self, write: Callable[[str], None]):
        self.write_line = write
        self.rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            if line:
                self.write_line(line)
        return len(text)

    def flush(self) -> None:
        rest, self.rest = self.rest, ""
        if rest:
            self.write_line(rest)


class ToLog(logging.Handler):
    """Python's own logging, as lines of the log."""

    def emit(self, record: logging.LogRecord) -> None:
        write = {logging.DEBUG: log.debug, logging.INFO: log.info, logging.WARNING: log.warn}.get(record.levelno, log.error)
        write(self.format(record), logger=record.name)


def start() -> None:
    """Once for each instance, not while the component is built: then there is no host to speak to."""
    global started
    if started:
        return
    started = True
    sys.stdout = Lines(log.info)
    sys.stderr = Lines(log.warn)
    logging.basicConfig(handlers=[ToLog()], level=logging.INFO, force=True)


def answered(f: Callable[..., Any], *arguments: Any) -> Any:
    """Calls the plugin; whatever it raises becomes the contract's error."""
    start()
    try:
        return f(*arguments)
    except BaseException as e:
        error = failure(e)
        raise Err(wire.Error(error.code, error.line(), error.status)) from None
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def exports(plugin: Plugin) -> dict[str, type]:
    """The classes that componentize-py looks for in the entry module, by their names."""

    class Actions:
        def call(self, name: str, input: str) -> str:
            return answered(plugin.call, name, input)

    class Events:
        def handle(self, event: str) -> None:
            answered(plugin.deliver, event)

    class Schedule:
        def fire(self, id: str, due: int) -> None:
            answered(plugin.fire, id, due)

    class Lifecycle:
        def install(self) -> None:
            answered(plugin.turn, "install")

        def upgrade(self, from_: str) -> None:
            answered(plugin.turn, "upgrade", from_)

        def uninstall(self) -> None:
            answered(plugin.turn, "uninstall")

    class Health:
        def check(self) -> None:
            answered(plugin.turn, "health")

    class IncomingHandler:
        def handle(self, request: Any, response_out: Any) -> None:
            start()
            try:
                answer = plugin.handle(read(request))
            except BaseException as e:
                answer = Response.error(failure(e))
            respond(answer, response_out)
            sys.stdout.flush()
            sys.stderr.flush()

    return {
        "PlenumPluginActions010": Actions,
        "PlenumPluginEvents010": Events,
        "PlenumPluginSchedule010": Schedule,
        "PlenumPluginLifecycle010": Lifecycle,
        "PlenumPluginHealth010": Health,
        "WasiHttpIncomingHandler020": IncomingHandler,
    }


def read(request: Any) -> Request:
    """A request of WASI as the SDK's."""
    method = request.method()
    # `Method_Get` and so on; another method has its name as its value.
    name = getattr(method, "value", None) or type(method).__name__.rsplit("_", 1)[-1]
    headers: dict[str, str] = {}
    fields = request.headers()
    for key, value in fields.entries():
        key, text = key.lower(), value.decode("utf-8", "replace")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return Request(name, request.path_with_query() or "", headers, body(request))


def body(request: Any) -> bytes:
    broken = Error.bad_request("request.body", "the request's body could not be read: send it again")
    out = bytearray()
    try:
        incoming = request.consume()
        with incoming.stream() as stream:
            while True:
                try:
                    out.extend(stream.blocking_read(64 * 1024))
                except Err as e:
                    if type(e.value).__name__ == "StreamError_Closed":
                        return bytes(out)
                    raise
                if len(out) > MAX_BODY:
                    raise Error(413, "request.body", f"the body is larger than {MAX_BODY} bytes")
    except Err:
        raise broken from None


def respond(answer: Response, out: Any) -> None:
    """Sends an answer."""
    fields = http.Fields()
    for name, value in answer.headers.items():
        try:
            fields.append(name, value.encode())
        except Err:
            log.warn(f"the header {name} was not sent: its name or value is not valid")
    response = http.OutgoingResponse(fields)
    try:
        response.set_status_code(answer.status)
    except Err:
        log.error(f"{answer.status} is not an HTTP status; 200 was sent")
    outgoing = response.body()
    http.ResponseOutparam.set(out, Ok(response))
    try:
        with outgoing.write() as stream:
            for at in range(0, len(answer.body), 4096):
                stream.blocking_write_and_flush(answer.body[at : at + 4096])
    except Err:
        # The caller has gone: nobody is left to tell.
        return
    http.OutgoingBody.finish(outgoing, None)
