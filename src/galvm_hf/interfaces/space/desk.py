"""The desk: all sessions on one collection, for everybody who works at them. It knows no Gradio."""

import re
import threading
import unicodedata
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from torch import Tensor

from ...data.readers import FITS_SUFFIXES, PICTURE_SUFFIXES, Stamp, UnreadableStampError, read_stamp
from ...hitl import Answer, Collection, Session
from ...hitl.log import read_events
from ..embed import Encoder, load_encoder

SESSIONS = "sessions"
UPLOAD_SUFFIXES = PICTURE_SUFFIXES + FITS_SUFFIXES
MAX_UPLOAD = 64 * 2**20  # bytes
_NAME = re.compile(r"\w[\w .'-]*")
_NAME_BYTES = 120  # as a file name, where letters beyond ASCII count several times
_TARGET_LENGTH = 80


class Desk:
    """Opens, keeps and closes sessions, each once for all people.

    A context manager.

    Args:
        collection: What all sessions search.
        folder: Sessions are in `folder/sessions`, one folder each.
        model: Checkpoint that encodes uploaded images; by default the one that the collection names.
        is_simulated: Whether the galaxies are simulated, which the page then says.
    """

    def __init__(
        self, collection: Collection, folder: str | Path, model: str | None = None, is_simulated: bool = False
    ):
        self.collection, self.is_simulated = collection, is_simulated
        self.folder = Path(folder) / SESSIONS
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model = model or collection.model
        self._sessions: dict[str, Session] = {}
        self._encoder: Encoder | None = None
        self._lock = threading.RLock()

    def names(self) -> list[str]:
        """Names of the sessions on this collection."""
        return sorted(path.name for path in self.folder.iterdir() if self._is_ours(path))

    def start(self, target: str, who: str, positives: list[str] = (), negatives: list[str] = ()) -> str:
        """Begin a session for a target; its name is made of it.

        Raises:
            ValueError: If the target or the person has no usable name.
            FileExistsError: If there is such a session.
            KeyError: If an example is not in the collection.
        """
        target = " ".join(target.split())
        if not (0 < len(target) <= _TARGET_LENGTH and target.isprintable()):
            raise ValueError(f"Say what you look for, in 1 to {_TARGET_LENGTH} characters, such as face-on spirals.")
        name = check_name(re.sub(r"[^\w-]+", "-", unicodedata.normalize("NFC", target).lower()).strip("-_"), "session")
        who = check_name(who, "person")
        with self._lock:
            folder = self.folder / name
            if folder.exists():
                raise FileExistsError(f"There is a session {name} already. Open it, or look for something else.")
            self._sessions[name] = Session.start(folder, self.collection, target, who, positives, negatives)
        return name

    def session(self, name: str) -> Session:
        """A session by its name, opened when it is first asked for.

        Raises:
            ValueError: If it is no name of a session.
            FileNotFoundError: If there is none.
        """
        check_name(name, "session")
        with self._lock:
            if name not in self._sessions:
                if not (self.folder / name).is_dir():
                    raise FileNotFoundError(f"There is no session {name}. Start it, or open another.")
                self._sessions[name] = Session(self.folder / name, self.collection)
            return self._sessions[name]

    def answer_upload(self, name: str, who: str, path: Path, original: str, answer: bool) -> Answer:
        """Say of an uploaded image whether it is of the kind.

        Args:
            name: Of the session.
            who: The person.
            path: Where the file lies; it is only read.
            original: Its name on the person's machine.
            answer: Whether it is of the kind.

        Raises:
            UnreadableStampError: If it is no image, or one that is damaged, too large or of other bands.
            ValueError: If the collection is not of the checkpoint that is at hand.
        """
        session, who = self.session(name), check_name(who, "person")
        stamp = read_upload(path, original)
        try:
            return session.answer_image(who, stamp, self._encode, answer)
        except UnreadableStampError as error:
            raise UnreadableStampError(stamp.id, error.cause, error.remedy) from None

    def close(self) -> None:
        """Close all sessions."""
        with self._lock:
            for session in self._sessions.values():
                session.close()
            self._sessions.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _is_ours(self, folder: Path) -> bool:
        if not (folder.is_dir() and _NAME.fullmatch(folder.name)):
            return False
        if folder.name in self._sessions:
            return True
        try:
            events = read_events(folder)
        except ValueError:
            return False
        return bool(events) and events[0].get("collection") == self.collection.token

    def _encode(self, stamps: list[Stamp]) -> Tensor:
        from ...hitl.encoder import digest_encoder

        with self._lock:
            if self._encoder is None:
                encoder = load_encoder(self.model, features=self.collection.kind)
                if digest_encoder(encoder.model) != self.collection.weights:
                    raise ValueError(
                        f"The collection's features are not of {self.model}: its weights are others. Start with "
                        "--model and the checkpoint that the collection was made with."
                    )
                self._encoder = encoder
        return self._encoder.encode_stamps(stamps)


def check_name(name: str, of: str) -> str:
    """A name of a session or person, without blanks around it.

    Raises:
        ValueError: If it could not be the name of a file everywhere, or leads out of a folder.
    """
    name = name.strip()
    if not _NAME.fullmatch(name) or name.endswith(".") or len(quote(name)) > _NAME_BYTES:
        raise ValueError(
            f"The name of a {of} begins with a letter or digit, has letters, digits, blanks, '.', '-', '_' and \"'\", "
            f"and is not long. Got {name[:80]!r}."
        )
    return name


def read_upload(path: Path, original: str) -> Stamp:
    """The stamp in an uploaded JPEG, PNG or FITS file.

    Raises:
        UnreadableStampError: If there is none, or it is too large.
    """
    shown = re.sub(r"[^\w .()+-]", "_", re.split(r"[/\\]", original)[-1])[-_TARGET_LENGTH:] or "image"
    if not path.name.lower().endswith(UPLOAD_SUFFIXES):
        raise UnreadableStampError(shown, "is of no kind that is taken here", "Give a JPEG, PNG or FITS file")
    if (size := path.stat().st_size) > MAX_UPLOAD:
        raise UnreadableStampError(
            shown, f"has {size} bytes, more than the {MAX_UPLOAD} of the largest upload", "Cut the galaxy out of it"
        )
    try:
        return read_stamp(path, shown).select()
    except UnreadableStampError as error:
        raise UnreadableStampError(shown, error.cause, error.remedy) from None
