"""``gpupool comment RUN --against A``: a pull request's comment, printed or posted."""

from __future__ import annotations

import argparse
import os
from typing import Any

from ...forges import comment, environment
from ...forges.environment import FORGES
from ...values.errors import UsageProblem
from ..sources import add_dir
from .sides import Side, add_policy, compared

_ABOUT = """\
Prints what a run tells beside an older one as a pull request's comment: the one fact to know, the metrics and tests
that have become worse, and what else has changed. RUN and A are JSON reports or runs on record; A may be a baseline
file. Metrics are judged as 'gpupool compare' does it.

With --post it is written to the pull request instead: into the comment with the same marker that the token's owner
has there, else as a new one. The token is $GITHUB_TOKEN or $GH_TOKEN, or $GITLAB_TOKEN; the pull request is the one
that the CI job is about, unless --repo and --pr say another.

The exit status is 0 however the metrics are; 4 where something is not given or cannot be read; 77 where the token may
not write there, as that of a pull request from a fork; 75 where the server has no time, or does not answer.
"""

_MARKER = "gpupool"


def add(commands: Any) -> None:
    """Declare the call."""
    command = commands.add_parser(
        "comment",
        help="a pull request's comment on a run, printed or posted",
        description=_ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("b", metavar="RUN", help="a report, or a run on record")
    text = "what it is compared with: a report, a run on record, or a baseline file"
    command.add_argument("--against", dest="a", metavar="A", required=True, help=text)
    text = "write the comment, or write it anew, at the pull request that this job is about"
    command.add_argument("--post", choices=FORGES, help=text)
    text = f"tells the comments of several suites apart (default: {_MARKER}); also said in it"
    command.add_argument("--marker", metavar="KEY", default=_MARKER, help=text)
    text = "owner/name, on GitLab a project's id or path (default: by $GITHUB_REPOSITORY, $CI_PROJECT_ID)"
    command.add_argument("--repo", metavar="NAME", help=text)
    command.add_argument("--pr", metavar="N", help="the pull or merge request (default: the one of this job)")
    text = "the API's address (default: $GITHUB_API_URL, $CI_API_V4_URL, else that of github.com or gitlab.com)"
    command.add_argument("--api", metavar="URL", help=text)
    text = "whose comment it is, where the server does not tell that of the token (on GitHub: github-actions[bot])"
    command.add_argument("--author", metavar="LOGIN", help=text)
    add_policy(command)
    add_dir(command)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    marker = _marker(args.marker)
    to = None
    if args.post is not None:  # what is not given is said before the reports are read
        to = environment.destination(args.post, os.environ, api=args.api, repo=args.repo, number=args.pr)
    from ...forges import posting  # other calls have no use for what speaks HTTP

    text = _text(args, posting.most_characters(args.post))
    if to is None:
        print(text, end="")
        return 0
    posted = posting.post(to, text, marker, author=args.author)
    print(f"gpupool: comment {posted.done}{f': {posted.link}' if posted.link else ''}")
    return 0


def _marker(key: str) -> str:
    try:
        return comment.marker(key)
    except ValueError:
        raise UsageProblem(
            f"--marker {key!r}: give up to 64 letters, digits, dots and single dashes, such as nightly-h200"
        ) from None


def _text(args: argparse.Namespace, most: int) -> str:
    found, old, new = compared(args)
    return comment.body(
        found,
        new.content,
        key=args.marker,
        title="" if args.marker == _MARKER else args.marker,
        sides=f"{_upper(old)} beside {new.title}.",
        most=most,
    )


def _upper(side: Side[Any]) -> str:
    return side.title[:1].upper() + side.title[1:]
