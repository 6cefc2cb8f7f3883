"""The human in the loop as a page in the browser, on this machine or as a Space of the Hub.

`desk` holds the sessions, `views` says what is shown, `pictures`, `markup` and `chart` draw it, `handlers` say what
happens, `page` lays it out in Gradio, `api` offers the same to programs, and `serve` starts it all. What runs in the
browser is in `page.js` and `page.css`.
"""

from .desk import Desk
from .serve import open_desk, serve

__all__ = ["Desk", "open_desk", "serve"]
