"""Questions that people ask about the documents in `samples/`, as after `make demo`: local engine, default embedder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from uuid import UUID

import pytest

from fastapi_ignite.infra.db import Database
from fastapi_ignite.rag.local.engine import LocalEngine
from query.sample_questions import ANSWERABLE, UNANSWERABLE, SampleQuestion
from support.http_clients import TenantClient, TenantFactory
from support.installation import make_tenant
from support.sample_documents import DOCUMENTS, SAMPLES
from support.tenant_records import rows_of

__all__ = ["make_tenant"]  # these tests run on the local engine only

SCAN = "scanned/delivery-note.pdf"
HAS_RECOGNITION = find_spec("rapidocr") is not None


@dataclass(frozen=True, slots=True)
class Samples:
    """The project that contains the samples, and the stored text of each file."""

    tenant: TenantClient
    project: str
    texts: dict[str, str]


@pytest.fixture(scope="module")
async def samples(make_tenant: TenantFactory, worker: None, database: Database) -> Samples:
    """Upload once what the demo uploads, and wait for the embeddings."""
    del worker
    tenant = await make_tenant()
    project = await tenant.create_project()
    paths = sorted(path for path in SAMPLES.iterdir() if path.is_file())
    upload = (await tenant.upload(project, *((path.name, path.read_bytes()) for path in paths))).json()
    assert upload["file_counts"]["processed"] == len(paths), upload
    engine = LocalEngine(database, "minilm")
    while True:
        async with database.tenant(tenant.id) as session:
            shares = await engine.embedded(session, tenant.id, UUID(project))
        if all(share == 1 for share in shares.values()):
            break
        await engine.backfill_embeddings()
    await engine.close()
    rows = await rows_of(
        database,
        tenant.id,
        "SELECT f.filename, d.text FROM files f JOIN documents d ON d.id = f.document_id WHERE f.project_id = :id",
        id=project,
    )
    return Samples(tenant, project, {row["filename"]: row["text"] for row in rows})


@pytest.mark.parametrize("question", ANSWERABLE, ids=lambda question: question.text)
async def test_a_natural_question_is_answered(samples: Samples, question: SampleQuestion) -> None:
    answer = (await samples.tenant.ask(samples.project, question.text)).json()
    assert answer["answerable"], answer
    assert _plain(question.fact) in _plain(answer["answer"])
    for cited in answer["citations"]:
        assert cited["verified"]
        assert samples.texts[cited["filename"]][cited["char_start"] : cited["char_end"]] == cited["quote"]
    value = question.fact.rpartition(": ")[2]
    assert any(
        (cited["filename"], cited["page"]) == (question.filename, question.page)
        and _plain(value) in _plain(cited["quote"])
        for cited in answer["citations"]
    ), answer["citations"]


@pytest.mark.parametrize("question", UNANSWERABLE)
async def test_what_no_sample_says_is_refused(samples: Samples, question: str) -> None:
    answer = (await samples.tenant.ask(samples.project, question)).json()
    assert (answer["answerable"], answer["citations"]) == (False, []), answer["answer"]


async def test_a_scanned_page_is_read_where_recognition_is_installed(samples: Samples) -> None:
    project = await samples.tenant.create_project("Scans")
    upload = await samples.tenant.upload(project, ("delivery-note.pdf", (SAMPLES / SCAN).read_bytes()))
    (file,) = upload.json()["files"]
    if not HAS_RECOGNITION:
        assert (file["status"], file["last_error"]["code"]) == ("failed", "no_text")
        return
    answer = (await samples.tenant.ask(project, "Who received the goods of the delivery?")).json()
    assert "Paulina Zielinska" in answer["answer"]


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name != SCAN])
def test_the_samples_are_what_their_script_writes(name: str) -> None:
    """The scan is left out, because another version of pdfium may draw it a little differently."""
    assert (SAMPLES / name).read_bytes() == DOCUMENTS[name]()


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text)
