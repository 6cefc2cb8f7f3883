"""The Space: the human in the loop on the embedded simulated survey, or on a collection of one's own.

Variables of the Space: `GALVM_COLLECTION`, the folder of a collection; `GALVM_SESSIONS`, the folder for sessions;
`GALVM_LABELS_REPO`, a dataset repository that labels go to, with the secret `HF_TOKEN` that may write to it.
"""

import os
from pathlib import Path

from galvm_hf.interfaces.space import open_desk, serve

collection = os.environ.get("GALVM_COLLECTION")
with open_desk(Path(collection) if collection else None, Path(os.environ.get("GALVM_SESSIONS", "sessions"))) as desk:
    serve(desk)
