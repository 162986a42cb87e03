"""Files, vector stores, batches and search, through the official SDK."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, RateLimitError

from openai_sim.conftest import SIGHT, TIDES, Upload
from support.sample_files import make_docx

from openai_simulator import file_text
from openai_simulator.server import RunningSimulator


class TestFiles:
    async def test_a_file_is_kept_until_it_is_deleted(self, sdk: AsyncOpenAI) -> None:
        made = await sdk.files.create(file=("notes.txt", b"Some notes."), purpose="user_data")
        assert (made.filename, made.bytes, made.purpose, made.object) == ("notes.txt", 11, "user_data", "file")
        assert [file.id async for file in sdk.files.list()] == [made.id]
        assert (await sdk.files.content(made.id)).content == b"Some notes."
        assert (await sdk.files.delete(made.id)).deleted
        with pytest.raises(NotFoundError):
            await sdk.files.retrieve(made.id)

    async def test_deleting_a_file_takes_it_out_of_every_store(self, sdk: AsyncOpenAI, store_id: str) -> None:
        (file,) = (await sdk.vector_stores.files.list(store_id)).data
        await sdk.files.delete(file.id)
        assert (await sdk.vector_stores.files.list(store_id)).data == []
        assert (await sdk.vector_stores.search(store_id, query="lighthouse")).data == []

    async def test_detaching_keeps_the_file(self, sdk: AsyncOpenAI, store_id: str) -> None:
        (file,) = (await sdk.vector_stores.files.list(store_id)).data
        gone = await sdk.vector_stores.files.delete(file.id, vector_store_id=store_id)
        assert (gone.object, gone.deleted) == ("vector_store.file.deleted", True)
        assert (await sdk.files.retrieve(file.id)).id == file.id

    async def test_files_of_purpose_assistants_cannot_be_downloaded(self, sdk: AsyncOpenAI, upload: Upload) -> None:
        with pytest.raises(BadRequestError):
            await sdk.files.content(await upload())


class TestIndexing:
    async def test_a_file_is_in_progress_at_first(
        self, sdk: AsyncOpenAI, upload: Upload, control: httpx2.AsyncClient
    ) -> None:
        await control.patch("/settings", json={"processing_seconds": 600})
        store = await sdk.vector_stores.create()
        file = await sdk.vector_stores.files.create(store.id, file_id=await upload())
        assert (file.status, (await sdk.vector_stores.retrieve(store.id)).status) == ("in_progress", "in_progress")
        assert (await sdk.vector_stores.search(store.id, query="lighthouse")).data == []

    @pytest.mark.parametrize(
        ("name", "content", "code"),
        [
            ("table.csv", b"a,b\n1,2\n", "unsupported_file"),
            ("picture.png", b"\x89PNG\r\n", "unsupported_file"),
            ("latin.txt", "Größe".encode("latin-1"), "invalid_file"),
            ("broken.pdf", b"%PDF-1.7 nothing", "invalid_file"),
        ],
    )
    async def test_what_cannot_be_read_fails(
        self, sdk: AsyncOpenAI, upload: Upload, name: str, content: bytes, code: str
    ) -> None:
        store = await sdk.vector_stores.create()
        file = await _attached(sdk, store.id, await upload(content, name))
        assert file.status == "failed"
        assert file.last_error
        assert file.last_error.code == code

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    async def test_text_is_read_in_its_encoding(self, sdk: AsyncOpenAI, upload: Upload, encoding: str) -> None:
        store = await sdk.vector_stores.create()
        file_id = await upload("Żółw spotkał Ιθάκη.".encode(encoding), "a.md")
        await _attached(sdk, store.id, file_id)
        content = await sdk.vector_stores.files.content(file_id, vector_store_id=store.id)
        assert [part.text async for part in content] == ["Żółw spotkał Ιθάκη."]

    async def test_a_document_that_takes_too_long_fails(
        self, sdk: AsyncOpenAI, upload: Upload, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(file_text, "PARSER_SECONDS", 0)
        store = await sdk.vector_stores.create()
        file = await _attached(sdk, store.id, await upload(make_docx([SIGHT]), "a.docx"))
        assert file.last_error
        assert file.last_error.message == "Reading the file took too long."

    async def test_a_document_is_extracted(self, sdk: AsyncOpenAI, upload: Upload) -> None:
        store = await sdk.vector_stores.create()
        await _attached(sdk, store.id, await upload(make_docx([SIGHT]), "a.docx"))
        (hit,) = (await sdk.vector_stores.search(store.id, query="lighthouse")).data
        assert SIGHT in hit.content[0].text


class TestBatches:
    async def test_files_with_attributes_of_their_own(self, sdk: AsyncOpenAI, upload: Upload) -> None:
        store = await sdk.vector_stores.create()
        first, second = await upload(), await upload(b"a,b", "a.csv")
        batch = await sdk.vector_stores.file_batches.create_and_poll(
            store.id,
            files=[{"file_id": first, "attributes": {"year": 2024}}, {"file_id": second}],
            poll_interval_ms=10,
        )
        assert (batch.status, batch.object) == ("completed", "vector_store.files_batch")
        assert (batch.file_counts.completed, batch.file_counts.failed, batch.file_counts.total) == (1, 1, 2)
        listed = await sdk.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, filter="completed")
        assert [(file.id, file.attributes) for file in listed.data] == [(first, {"year": 2024})]

    async def test_cancelling_stops_what_is_not_done(
        self, sdk: AsyncOpenAI, upload: Upload, control: httpx2.AsyncClient
    ) -> None:
        await control.patch("/settings", json={"processing_seconds": 600})
        store = await sdk.vector_stores.create()
        batch = await sdk.vector_stores.file_batches.create(store.id, file_ids=[await upload()])
        cancelled = await sdk.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
        assert (cancelled.status, cancelled.file_counts.cancelled) == ("cancelled", 1)

    @pytest.mark.parametrize("body", [{}, {"file_ids": []}, {"file_ids": ["a"], "files": [{"file_id": "a"}]}])
    async def test_either_ids_or_files(self, sdk: AsyncOpenAI, store_id: str, body: dict[str, Any]) -> None:
        with pytest.raises(BadRequestError):
            await sdk.vector_stores.file_batches.create(store_id, **body)

    async def test_more_than_two_thousand_are_refused(self, sdk: AsyncOpenAI, store_id: str) -> None:
        with pytest.raises(BadRequestError) as refused:
            await sdk.vector_stores.file_batches.create(store_id, file_ids=["file-x"] * 2001)
        assert (refused.value.code, refused.value.param) == ("array_above_max_length", "file_ids")

    async def test_an_unknown_file_refuses_the_whole_batch(self, sdk: AsyncOpenAI, upload: Upload) -> None:
        store = await sdk.vector_stores.create()
        with pytest.raises(NotFoundError):
            await sdk.vector_stores.file_batches.create(store.id, file_ids=[await upload(), "file-unknown"])
        assert (await sdk.vector_stores.retrieve(store.id)).file_counts.total == 0


class TestSearch:
    @pytest.fixture
    async def years(self, sdk: AsyncOpenAI, upload: Upload) -> str:
        """Make a store with one file for each year and one file without a year."""
        store = await sdk.vector_stores.create()
        files: list[dict[str, Any]] = [
            {"file_id": await upload(f"Harbour report {year}."), "attributes": {"year": year, "final": year < 2024}}
            for year in (2022, 2023, 2024)
        ]
        files.append({"file_id": await upload("Harbour report without a year.")})
        await sdk.vector_stores.file_batches.create_and_poll(store.id, files=files, poll_interval_ms=10)  # type: ignore[arg-type]  # dicts of its shape
        return store.id

    @pytest.mark.parametrize(
        ("filters", "years_found"),
        [
            ({"type": "eq", "key": "year", "value": 2023}, {2023}),
            ({"type": "ne", "key": "year", "value": 2023}, {2022, 2024, None}),
            ({"type": "gte", "key": "year", "value": 2023}, {2023, 2024}),
            ({"type": "lt", "key": "year", "value": 2023.5}, {2022, 2023}),
            ({"type": "in", "key": "year", "value": [2022, 2024]}, {2022, 2024}),
            ({"type": "nin", "key": "year", "value": [2022, 2024]}, {2023, None}),
            ({"type": "eq", "key": "final", "value": True}, {2022, 2023}),
            ({"type": "gt", "key": "year", "value": "2000"}, set()),
            (
                {
                    "type": "or",
                    "filters": [
                        {"type": "eq", "key": "year", "value": 2024},
                        {
                            "type": "and",
                            "filters": [
                                {"type": "gt", "key": "year", "value": 2022},
                                {"type": "eq", "key": "final", "value": True},
                            ],
                        },
                    ],
                },
                {2023, 2024},
            ),
        ],
    )
    async def test_filters(self, sdk: AsyncOpenAI, years: str, filters: Any, years_found: set[int | None]) -> None:
        found = await sdk.vector_stores.search(years, query="harbour report", filters=filters)
        assert {(hit.attributes or {}).get("year") for hit in found.data} == years_found

    async def test_the_best_come_first_and_no_more_than_asked_for(self, sdk: AsyncOpenAI, years: str) -> None:
        found = (await sdk.vector_stores.search(years, query="harbour report 2023", max_num_results=2)).data
        assert found[0].content[0].text == "Harbour report 2023."
        assert found[0].score == 1 > found[1].score
        assert len(found) == 2

    async def test_a_threshold_leaves_out_the_rest(self, sdk: AsyncOpenAI, years: str) -> None:
        ranking: Any = {"score_threshold": 0.9}
        found = await sdk.vector_stores.search(years, query="harbour report 2023", ranking_options=ranking)
        assert [hit.content[0].text for hit in found.data] == ["Harbour report 2023."]

    async def test_updated_attributes_are_filtered_by(self, sdk: AsyncOpenAI, years: str) -> None:
        file = next(f for f in (await sdk.vector_stores.files.list(years)).data if f.attributes == {})
        await sdk.vector_stores.files.update(file.id, vector_store_id=years, attributes={"year": 1999})
        found = await sdk.vector_stores.search(
            years, query="harbour", filters={"type": "eq", "key": "year", "value": 1999}
        )
        assert [hit.file_id for hit in found.data] == [file.id]

    async def test_a_long_text_is_searched_by_chunks(self, sdk: AsyncOpenAI, upload: Upload) -> None:
        text = "Gulls cry over the bay. " * 100 + SIGHT + " Gulls cry over the bay." * 100
        store = await sdk.vector_stores.create()
        static: Any = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}}
        await sdk.vector_stores.files.create_and_poll(
            await upload(text), vector_store_id=store.id, chunking_strategy=static, poll_interval_ms=10
        )
        best = (await sdk.vector_stores.search(store.id, query="engineer of the lighthouse")).data[0]
        assert SIGHT in best.content[0].text
        assert len(best.content[0].text) < len(text) / 4


class TestLists:
    async def test_pages_hold_every_store_once(self, sdk: AsyncOpenAI) -> None:
        made = [(await sdk.vector_stores.create(name=str(number))).id for number in range(5)]
        assert [store.id async for store in sdk.vector_stores.list(limit=2)] == made[::-1]
        assert [store.id async for store in sdk.vector_stores.list(limit=2, order="asc")] == made
        before = await sdk.vector_stores.list(limit=2, order="asc", before=made[3])
        assert ([store.id for store in before.data], before.has_more) == (made[1:3], True)

    async def test_an_unknown_cursor_is_refused(self, sdk: AsyncOpenAI) -> None:
        with pytest.raises(BadRequestError):
            await sdk.vector_stores.list(after="vs_unknown")


class TestStores:
    async def test_an_update_changes_what_it_names(self, sdk: AsyncOpenAI) -> None:
        store = await sdk.vector_stores.create(name="a", metadata={"project": "1"})
        changed = await sdk.vector_stores.update(store.id, name="b")
        assert (changed.name, changed.metadata) == ("b", {"project": "1"})

    async def test_an_expired_store_is_shown_and_refuses(
        self, sdk: AsyncOpenAI, store_id: str, control: httpx2.AsyncClient
    ) -> None:
        await control.post(f"/vector_stores/{store_id}/expire")
        assert (await sdk.vector_stores.retrieve(store_id)).status == "expired"
        with pytest.raises(BadRequestError) as refused:
            await sdk.vector_stores.search(store_id, query="lighthouse")
        assert refused.value.code == "vector_store_expired"

    async def test_a_store_that_vanished_is_still_counted_as_created(
        self, sdk: AsyncOpenAI, store_id: str, control: httpx2.AsyncClient
    ) -> None:
        await control.post(f"/vector_stores/{store_id}/vanish")
        with pytest.raises(NotFoundError):
            await sdk.vector_stores.retrieve(store_id)
        counters = (await control.get("/counters")).json()
        assert (counters["created"]["vector_stores"], counters["existing"]["vector_stores"]) == (1, 0)
        assert counters["existing"]["files"] == 1


class TestLimits:
    async def test_attaching_is_limited_for_each_store(
        self, sdk: AsyncOpenAI, upload: Upload, control: httpx2.AsyncClient
    ) -> None:
        await control.patch("/settings", json={"attach_per_minute": 2})
        store, other = await sdk.vector_stores.create(), await sdk.vector_stores.create()
        file_id = await upload()
        await sdk.vector_stores.files.create(store.id, file_id=file_id)
        await sdk.vector_stores.file_batches.create(store.id, file_ids=[file_id])
        with pytest.raises(RateLimitError) as limited:
            await sdk.vector_stores.files.create(store.id, file_id=file_id)
        assert limited.value.code == "rate_limit_exceeded"
        assert 0 < int(limited.value.response.headers["retry-after"]) <= 61
        await sdk.vector_stores.files.create(other.id, file_id=file_id)

    async def test_a_file_may_be_too_large(self, provider: RunningSimulator, upload: Upload) -> None:
        provider.simulator.behaviour.max_file_bytes = 10
        with pytest.raises(Exception, match="Maximum content size limit") as refused:
            await upload(TIDES)
        assert getattr(refused.value, "status_code", None) == 413


async def _attached(sdk: AsyncOpenAI, store_id: str, file_id: str) -> Any:
    return await sdk.vector_stores.files.create_and_poll(file_id, vector_store_id=store_id, poll_interval_ms=10)
