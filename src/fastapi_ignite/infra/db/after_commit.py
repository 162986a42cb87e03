"""Runs actions after a transaction has committed. A rollback drops them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

Item = TypeVar("Item")
Actions: TypeAlias = Mapping[Callable[[Sequence[Any]], Awaitable[None]], Sequence[Any]]

ACTIONS = "after_commit"  # the key in a session's `info`
log = structlog.get_logger(__name__)


def after_commit(session: AsyncSession, action: Callable[[Sequence[Item]], Awaitable[None]], item: Item) -> None:
    """Have `action` called once after the session's COMMIT, with every item it was given, in their order.

    The block of the transaction ends after the action. An error in the action is logged and reaches nobody, because
    whoever sees an error takes the transaction for undone.
    """
    session.info.setdefault(ACTIONS, {}).setdefault(action, []).append(item)


def take_actions(session: AsyncSession) -> Actions:
    """Return what the session is to do after its COMMIT, and remove it there."""
    actions: Actions = session.info.pop(ACTIONS, {})
    return actions


async def run_actions(actions: Actions) -> None:
    """Call the actions one after the other. Never raises."""
    for action, items in actions.items():
        try:
            await action(items)
        except Exception:
            log.exception("an action after a commit failed")
