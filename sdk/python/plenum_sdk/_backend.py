"""Where the SDK's modules find the platform: the component's imports, or the fake of the test that runs."""

import sys

if sys.platform == "wasi":
    from plenum_sdk import _wasi as backend
else:
    from plenum_sdk.testing import _backend as backend

__all__ = ["backend"]
