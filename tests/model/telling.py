"""Stories told: from a seed, or again from their moves; and a broken one made short."""

from collections.abc import Iterable
from random import Random
from unittest.mock import patch

from streams.device import state
from tests.model import stories
from tests.model.moves import Move, Setting
from tests.model.world import World


class Broken(AssertionError):
    """A promise is broken. Its text is the story, ready to be a regression test."""


def tell(setting: Setting, moves: Iterable[Move]) -> World:
    """The world after a story and its rest. Raises whatever breaks in it."""
    with patch.object(state, "SETTLED_KEPT", setting.remembered):
        world = World(setting)
        for move in moves:
            world.play(move)
        world.rest()
    return world


def invent(seed: int, *, shorten: bool = True) -> World:
    """The world after a story of this seed. Raises Broken, with the shortest story that breaks as well."""
    random = Random(seed)  # noqa: S311 - a story, no secret
    setting, moves = stories.setting(random), list[Move]()
    try:
        with patch.object(state, "SETTLED_KEPT", setting.remembered):
            world = World(setting)
            for _ in range(random.randrange(stories.LONGEST)):
                moves.append(stories.move(random, world))
                world.play(moves[-1])
            world.rest()
    except Exception:
        short = _shortest(setting, moves) if shorten else moves
        lines = "".join(f"    {move!r},\n" for move in short)
        why = _breaks(setting, short)
        raise Broken(f"seed {seed}: {type(why).__name__}: {why}\n{setting!r}\n[\n{lines}]") from why
    return world


def _breaks(setting: Setting, moves: list[Move]) -> Exception | None:
    try:
        tell(setting, moves)
    except Exception as error:
        return error
    return None


def _shortest(setting: Setting, moves: list[Move]) -> list[Move]:
    """What cannot be left out, in blocks first, then one by one until nothing more can go."""
    size = len(moves)
    while size:
        at, before = 0, len(moves)
        while at < len(moves):
            shorter = moves[:at] + moves[at + size :]
            if _breaks(setting, shorter) is not None:
                moves = shorter
            else:
                at += size
        size = size // 2 if size > 1 or len(moves) == before else 1
    return moves
