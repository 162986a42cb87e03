"""`cli.py plans …`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from fastapi_ignite.billing.errors import IncompletePlanError
from fastapi_ignite.billing.models import Plan
from fastapi_ignite.billing.plans import PlanService
from fastapi_ignite.billing.schemas import MAX_AMOUNT, PlanChange, PlanRead
from fastapi_ignite.cli.output import Json, print_json, print_result, print_table
from fastapi_ignite.cli.schema_check import require_schema
from fastapi_ignite.core.config import get_settings
from fastapi_ignite.core.errors import InvalidInputError
from fastapi_ignite.infra.db import Database
from fastapi_ignite.infra.services import ServiceAddresses, open_services

group = typer.Typer(no_args_is_help=True, help="List and change subscription plans.")

MAX_ID = 100
PlanId = Annotated[str, typer.Argument(metavar="ID", help="Id of the plan.")]
Amount = Annotated[int | None, typer.Option(min=0, max=MAX_AMOUNT)]
Price = Annotated[
    int | None, typer.Option(min=0, max=MAX_AMOUNT, help="Price in the smallest unit of the currency, like cents.")
]


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="plans")


@group.command("list")
def list_plans(*, as_json: Json = False) -> None:
    """Show every plan."""
    with open_services(get_settings()) as services:
        require_schema(services)
        plans = asyncio.run(_list(services.addresses))
    if as_json:
        print_json([PlanRead.of(plan).model_dump(mode="json") for plan in plans])
        return
    rows = []
    for plan in plans:
        rate = f"{plan.rate_limit_rpm:,}" if plan.rate_limit_rpm else "RATE_LIMIT_RPM"
        price = f"{plan.monthly_price} / {plan.annual_price} {plan.currency}"
        caps = (f"{cap:,}" for cap in plan.caps)
        rows.append((plan.id, plan.name, *caps, rate, price, "yes" if plan.active else "no"))
    columns = ("id", "name", "projects", "messages a month", "characters a month", "requests a minute")
    print_table((*columns, "price", "active"), rows)


@group.command("set")
def set_plan(
    plan_id: PlanId,
    name: Annotated[str | None, typer.Option(help="Name that tenants see. Default for a new plan: its id.")] = None,
    max_projects: Amount = None,
    message_cap: Amount = None,
    upload_char_cap: Amount = None,
    rate_limit_rpm: Annotated[
        int | None, typer.Option(min=0, max=10**9, help="Requests per minute. 0 means the setting RATE_LIMIT_RPM.")
    ] = None,
    monthly_price: Price = None,
    annual_price: Price = None,
    currency: Annotated[str | None, typer.Option(help="Three letters, like USD.")] = None,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Whether tenants can subscribe to it.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Create a plan, or change the given values. A change applies at once to every tenant of the plan."""
    if not plan_id.strip() or len(plan_id) > MAX_ID or (name is not None and not name.strip()):
        raise InvalidInputError(f"The id of a plan must have 1 to {MAX_ID} characters, and its name at least one.")
    values: dict[str, Any] = {
        "name": name,
        "max_projects": max_projects,
        "monthly_message_cap": message_cap,
        "monthly_upload_char_cap": upload_char_cap,
        "monthly_price": monthly_price,
        "annual_price": annual_price,
        "currency": currency,
        "active": active,
    }
    values = {key: value for key, value in values.items() if value is not None}
    if rate_limit_rpm is not None:
        values["rate_limit_rpm"] = rate_limit_rpm or None
    try:
        change = PlanChange.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise InvalidInputError(f"{first['loc'][0] if first['loc'] else 'plan'}: {first['msg']}") from None
    with open_services(get_settings()) as services:
        require_schema(services)
        plan = asyncio.run(_set(services.addresses, plan_id, change))
    print_result(
        f"{plan.id}: {plan.name}, {plan.max_projects:,} projects, {plan.monthly_message_cap:,} messages and "
        f"{plan.monthly_upload_char_cap:,} characters a month",
        PlanRead.of(plan).model_dump(mode="json"),
        as_json=as_json,
    )


async def _list(addresses: ServiceAddresses) -> list[Plan]:
    async with _plans(addresses) as plans:
        return list(await plans.list_all())


async def _set(addresses: ServiceAddresses, plan_id: str, change: PlanChange) -> Plan:
    async with _plans(addresses) as plans:
        try:
            return await plans.put(plan_id, change)
        except IncompletePlanError:
            raise InvalidInputError(
                f"{plan_id} is a new plan. It needs --max-projects, --message-cap and --upload-char-cap."
            ) from None


@asynccontextmanager
async def _plans(addresses: ServiceAddresses) -> AsyncGenerator[PlanService]:
    database = Database(addresses.worker_url, pool_size=1, application_name="ignite-cli")
    try:
        async with database.system() as session:
            yield PlanService(session)
    finally:
        await database.close()
