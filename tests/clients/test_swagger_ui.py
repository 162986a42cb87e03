"""A test that uploads files through Swagger UI, in a real browser."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from fastapi_ignite.core.config import Settings
from fastapi_ignite.http.state import AppState
from support.chromium import CHROMIUM, browser_page
from support.http_clients import served_client, tenant_factory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed: apt-get install chromium"),
]

OPERATION = "#operations-ingestion-upload_and_attach"
FILES = f"{OPERATION} tr[data-property-name=files]"


async def test_two_files_are_uploaded_through_the_page(
    settings: Settings, state: AppState, worker: None, tmp_path: Path
) -> None:
    del worker
    files = [tmp_path / "one.txt", tmp_path / "two.txt"]
    for file in files:
        file.write_text(f"This is {file.name}.")
    async with served_client(settings, state) as client, browser_page(tmp_path) as page:
        tenant = await tenant_factory(client, settings)()
        project = await tenant.create_project()
        origin = httpx2.URL(client.base_url).join("/")
        await page.open(f"{origin}api/docs#/ingestion/upload_and_attach")
        await page.wait_for(f"document.querySelector('{OPERATION} .execute')")

        token = tenant.headers["Authorization"].removeprefix("Bearer ")
        await page.click(f"{OPERATION} .authorization__btn")
        await page.wait_for("document.querySelector('.auth-container input')")
        await page.type(".auth-container input", token)
        await page.click(".auth-container .authorize")
        await page.click(".auth-container .btn-done")

        await page.type(f"{OPERATION} tr[data-param-name=project_id] input", project)
        for number, file in enumerate(files, start=1):
            picker = f"{FILES} .json-schema-form-item:nth-of-type({number}) input[type=file]"
            if number > 1:
                await page.click(f"{FILES} .json-schema-form-item-add")
            await page.wait_for(f"document.querySelector('{picker}')")
            await page.choose_files(picker, [file])
        await page.click(f"{OPERATION} .execute")
        await page.wait_for(f"document.querySelector('{OPERATION} .live-responses-table .response-col_status')")
        shown = await page.evaluate(f"document.querySelector('{OPERATION} .live-responses-table').innerText")
        assert "200" in shown, shown
        listed = (await tenant.get(f"/ingestion/projects/{project}/files")).json()["files"]
        assert [(file["filename"], file["status"]) for file in listed] == [
            ("one.txt", "completed"),
            ("two.txt", "completed"),
        ]
        documented = await page.evaluate(f"document.querySelector('{OPERATION}').innerText")
        assert "No project of this tenant has this id." in documented, "the example of an error is not shown"
        asked = {url for url in page.urls if not url.startswith(("data:", "blob:"))}
        assert {url for url in asked if not url.startswith(str(origin))} == set(), "the page needs another host"
