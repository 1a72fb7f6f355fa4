"""What the plugin offers."""

from __future__ import annotations

import inspect
import traceback
import typing
from typing import Any, Callable, Optional

from plenum_sdk import log
from plenum_sdk.clock import Timestamp
from plenum_sdk.convert import decode, encode, parse
from plenum_sdk.error import Error
from plenum_sdk.events import Event
from plenum_sdk.http import Handler, MethodError, Request, Response, Router


class Plugin:
    """What the plugin offers; the component exports exactly that. One for each plugin, called `plugin`, in its entry module.

        plugin = Plugin()

        @plugin.get("/notes/{id}")
        def note(request): ...

        @plugin.action("count")
        def count(input): ...
    """

    def __init__(self) -> None:
        self.router = Router()
        self.actions: dict[str, Callable[[Any], Any]] = {}
        self.schedules: dict[str, Callable[[Timestamp], Any]] = {}
        self.handlers: list[tuple[str, Callable[[Event], Any]]] = []
        self.hooks: dict[str, Callable[..., Any]] = {}

    # What is offered

    def route(self, method: str, path: str) -> Callable[[Handler], Handler]:
        """Answers requests of a method to a path: `{name}` stands for one segment, `{*name}` at the end for all that follow."""

        def add(handler: Handler) -> Handler:
            self.router.add(method, path, handler)
            return handler

        return add

    def get(self, path: str) -> Callable[[Handler], Handler]:
        """Answers GET."""
        return self.route("GET", path)

    def post(self, path: str) -> Callable[[Handler], Handler]:
        """Answers POST."""
        return self.route("POST", path)

    def put(self, path: str) -> Callable[[Handler], Handler]:
        """Answers PUT."""
        return self.route("PUT", path)

    def patch(self, path: str) -> Callable[[Handler], Handler]:
        """Answers PATCH."""
        return self.route("PATCH", path)

    def delete(self, path: str) -> Callable[[Handler], Handler]:
        """Answers DELETE."""
        return self.route("DELETE", path)

    def action(self, name: str) -> Callable:
        """Carries out an action of the manifest. An annotation of its parameter with a dataclass has the input decoded as that."""

        def add(f: Callable) -> Callable:
            if name in self.actions:
                raise ValueError(f"the action {name} is there twice")
            self.actions[name] = f
            return f

        return add

    def schedule(self, id: str) -> Callable:
        """Is called when the schedule of the manifest is due, with the time at which it was."""

        def add(f: Callable) -> Callable:
            self.schedules[id] = f
            return f

        return add

    def event(self, *types: str) -> Callable:
        """Handles events of these types, `plenum.job.*` for all that begin so; all that the manifest subscribes to when none is said."""

        def add(f: Callable) -> Callable:
            self.handlers.extend((t, f) for t in types or ("*",))
            return f

        return add

    def install(self, f: Callable) -> Callable:
        """Is called after the plugin was installed, before it becomes active; an error undoes the installation."""
        self.hooks["install"] = f
        return f

    def upgrade(self, f: Callable) -> Callable:
        """Is called after an upgrade, with the version before."""
        self.hooks["upgrade"] = f
        return f

    def uninstall(self, f: Callable) -> Callable:
        """Is called before the plugin is uninstalled."""
        self.hooks["uninstall"] = f
        return f

    def health(self, f: Callable) -> Callable:
        """Says whether the plugin is well: called after an upgrade, an error brings the version before back."""
        self.hooks["health"] = f
        return f

    # What is called

    def handle(self, request: Request) -> Response:
        """Answers a request. Whatever goes wrong in a handler becomes an answer."""
        try:
            response = Response.of(self.router.find(request)(request))
        except MethodError as e:
            response = Response.error(e)
            response.headers["allow"] = ", ".join(e.allowed)
        except BaseException as e:
            response = Response.error(failure(e))
        if request.method == "HEAD":
            response.body = b""
        return response

    def call(self, name: str, input: str) -> str:
        """Carries an action out: its input and output are JSON text."""
        action = self.actions.get(name)
        if action is None:
            there = ", ".join(self.actions) or "none"
            raise Error.not_found("plugin.no_action", f"there is no action {name!r}; there are: {there}")
        return encode(action(decode(parse(input, "the input"), annotation(action))))

    def deliver(self, event: str) -> None:
        """Hands an event over to all of its handlers."""
        found: Event = decode(parse(event, "the event"), Event)
        for type, f in self.handlers:
            if type == found.type or (type.endswith("*") and found.type.startswith(type[:-1])):
                f(found)

    def fire(self, id: str, due: int) -> None:
        """A schedule is due."""
        f = self.schedules.get(id)
        if f is None:
            there = ", ".join(self.schedules) or "none"
            raise Error.not_found("plugin.no_schedule", f"there is no schedule {id!r}; there are: {there}")
        f(Timestamp(due))

    def turn(self, hook: str, *arguments: Any) -> None:
        """A turn of the plugin's life."""
        f = self.hooks.get(hook)
        if f is not None:
            f(*arguments)

    def exports(self) -> dict[str, Any]:
        """What the component has to export."""
        return {
            "http": bool(self.router.routes),
            "actions": sorted(self.actions),
            "schedules": sorted(self.schedules),
            "events": sorted({t for t, _ in self.handlers}),
            "lifecycle": sorted(h for h in self.hooks if h != "health"),
            "health": "health" in self.hooks,
        }


def annotation(f: Callable) -> Any:
    """The type of a function's first parameter; anything when it says none."""
    parameters = list(inspect.signature(f).parameters.values())
    if not parameters:
        raise TypeError(f"{getattr(f, '__name__', f)} takes no input; give it one parameter")
    return typing.get_type_hints(f).get(parameters[0].name, Any)


def failure(e: BaseException) -> Error:
    """An exception as an error: the SDK's own as they are, others with their place in the log, not in the answer."""
    if isinstance(e, Error):
        if e.status >= 500:
            log.error(e.line(), code=e.code, at=place(e))
        return e
    text = "".join(traceback.format_exception_only(type(e), e)).strip()
    log.error(f"raised at {place(e)}: {text}", traceback=trace(e))
    if isinstance(e, MemoryError):
        return Error.internal("plugin.memory", "the plugin ran out of memory; raise memory_mb under [limits], or keep less of it at once")
    return Error.internal("plugin.exception", "the plugin failed at this; its log has the reason")


def place(e: BaseException) -> str:
    """`plugin.py:12`: the last line of the plugin's own that the exception came through."""
    frames = traceback.extract_tb(e.__traceback__)
    own: Optional[traceback.FrameSummary] = next((f for f in reversed(frames) if "plenum_sdk" not in f.filename), frames[-1] if frames else None)
    return f"{own.filename.rsplit('/', 1)[-1]}:{own.lineno}" if own else "an unknown place"


def trace(e: BaseException) -> list[str]:
    """Where it came from, innermost first, short enough for a line of the log."""
    frames = traceback.extract_tb(e.__traceback__)
    return [f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in reversed(frames)][:20]
