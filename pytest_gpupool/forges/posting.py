"""Posting: a pull request has one comment with the marker; it is written, or written anew."""

from __future__ import annotations

from dataclasses import dataclass

from . import github, gitlab
from .client import Answer, Refused
from .environment import GITHUB, Destination
from .note import Note

Forge = github.GitHub | gitlab.GitLab

_MOST = {GITHUB: github.MOST_CHARACTERS}


@dataclass(frozen=True, slots=True)
class Posted:
    """What was done, ``created``, ``updated`` or ``unchanged``, and where people find it, if that is known."""

    done: str
    link: str


def most_characters(forge: str | None) -> int:
    """Return how long a comment may be: as GitHub has it where nobody says where it goes."""
    return gitlab.MOST_CHARACTERS if forge not in (None, GITHUB) else github.MOST_CHARACTERS


def post(to: Destination, body: str, marker: str, *, author: str | None = None) -> Posted:
    """Write the comment whose text begins with the marker, in the place of the one that ``author`` has there already.

    ``author`` is whom the token belongs to, where the forge does not say that. Two jobs that write at once leave one
    comment, too.

    Raises:
        GpupoolError: what its exit status is documented for: 4, 75 or 77.
    """
    forge: Forge = github.GitHub(to) if to.forge == GITHUB else gitlab.GitLab(to)
    name = author or forge.author()
    own = _own(forge, name, marker)
    if own:
        return _update(forge, own, body)
    answer = _granted(forge, to, forge.create(body))
    own = _own(forge, name, marker)
    if len(own) > 1:  # another job was as quick
        return _update(forge, own, body)
    return Posted("created", forge.link(answer))


def _update(forge: Forge, own: list[Note], body: str) -> Posted:
    """Keep the oldest, and take back those that should not be there."""
    first, *others = own
    for note in others:
        forge.delete(note)  # where that is refused there are two, and the first one is right
    if first.body.replace("\r\n", "\n").rstrip() == body.rstrip():
        return Posted("unchanged", first.link)
    answer = _granted(forge, None, forge.update(first, body))
    return Posted("updated", forge.link(answer) or first.link)


def _own(forge: Forge, author: str, marker: str) -> list[Note]:
    """Return the comments with the marker that this author wrote: others quote it, or would like to be it."""
    found = (note for note in forge.notes() if note.author == author and note.body.startswith(marker))
    return sorted(found, key=lambda note: note.id)


def _granted(forge: Forge, to: Destination | None, answer: Answer) -> Answer:
    if answer.is_good:
        return answer
    words = f"{forge.client.host} refuses the comment ({answer.status} {answer.told})"
    if answer.status in (403, 404):
        whence = "this pull request is from a fork: " if to is not None and to.from_fork else ""
        raise Refused(f"{words}: {whence}{github.REFUSED if isinstance(forge, github.GitHub) else gitlab.REFUSED}")
    raise Refused(f"{words}: the text, printed without --post, says what it would have been")
