"""`python3 -m unittest` (or pytest) in the plugin's folder finds the plugin and the SDK by this."""

import sys
from pathlib import Path

root = Path(__file__).parent.parent
sys.path[:0] = [str(root / "src"), str(root / "../../python")]
