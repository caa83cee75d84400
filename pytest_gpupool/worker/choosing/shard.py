"""The shard: where the tests of a sharded run are collected, those of other shards are deselected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ...options import companions
from ..items import repeats
from ..items.identity import tell_apart

if TYPE_CHECKING:  # most runs have no shards, and their workers start without what cuts them
    from ...shards.frozen import Frozen
    from ...shards.part import Part

part_key: pytest.StashKey[Part] = pytest.StashKey()
"""What this shard has of all tests, in a sharded run that has collected."""


class ShardSelector:
    """The plugin. It comes before the one that deselects what an earlier run has finished: a shard is cut of all."""

    def __init__(self, frozen: Frozen, repeated: int = 1) -> None:
        """Tests that do not say are ``repeated`` so often."""
        self._frozen = frozen
        self._repeated = repeated

    @classmethod
    def of_file(cls, path: str, repeated: int = 1) -> ShardSelector:
        """Read the file that the controller has written at the run's start."""
        from ...shards.frozen import Frozen

        return cls(Frozen.read(path), repeated)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Deselect them, once other plugins have chosen and sorted."""
        part, others = split(items, config, self._frozen, self._repeated)
        config.stash[part_key] = part
        if others:
            config.hook.pytest_deselected(items=others)


def split(
    items: list[pytest.Item], config: pytest.Config, frozen: Frozen, repeated: int
) -> tuple[Part, list[pytest.Item]]:
    """Leave the shard's own tests in ``items``; return what is to be told of it, and the others."""
    from ...shards.part import part_of
    from ..protocol.item_facts import facts_of

    tell_apart(items)
    repeats.unfold(items, repeated)  # those of one test stay together
    mode = companions.given_mode(config)
    facts = facts_of(items, grouped=mode == "loadgroup", order_is_promised=False, whole_collection=None)
    part, own = part_of(facts.ids, facts.told(), frozen.learned, frozen.shard, mode=mode)
    others = [item for item in items if item.nodeid not in own]
    items[:] = [item for item in items if item.nodeid in own]
    return part, others
