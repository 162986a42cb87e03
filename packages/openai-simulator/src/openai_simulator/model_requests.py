"""The request bodies of responses and chat completions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from openai_simulator.filters import Filter
from openai_simulator.objects import Metadata
from openai_simulator.store_requests import RankingOptions, Strict

Text = Annotated[str, Field(max_length=10_485_760)]
Includable = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]


class ToolRanking(RankingOptions):
    """The ranking options of the file search tool. The weights have no effect."""

    hybrid_search: dict[str, float] | None = None


class FileSearchTool(Strict):
    """The file search tool, which searches several stores at once."""

    type: Literal["file_search"]
    vector_store_ids: list[Annotated[str, Field(max_length=100)]] = Field(min_length=1, max_length=10)
    max_num_results: int = Field(20, ge=1, le=50)
    filters: Filter | None = None
    ranking_options: ToolRanking = ToolRanking()


class OtherTool(BaseModel):
    """Any other tool. It is accepted and never called."""

    model_config = ConfigDict(extra="allow")
    type: str = Field(max_length=64)


def _tool(value: object) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "file_search" if kind == "file_search" else "other"


Tool = Annotated[
    Annotated[FileSearchTool, Tag("file_search")] | Annotated[OtherTool, Tag("other")], Discriminator(_tool)
]


class ToolChoice(BaseModel):
    """The choice of one tool or of several allowed tools."""

    model_config = ConfigDict(extra="allow")
    type: str = Field(max_length=64)
    mode: Literal["auto", "required"] = "auto"


class StreamOptions(BaseModel):
    """Options of streams: responses have the first one, chat completions the second."""

    include_obfuscation: bool = True
    include_usage: bool = False


class InputItem(BaseModel):
    """A message, or an item of an earlier response."""

    model_config = ConfigDict(extra="allow")
    role: str = Field("", max_length=32)
    content: Text | list[dict[str, Any]] | None = None

    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(str(part.get("text", "")) for part in self.content)
        return self.content or ""


class CreateResponse(Strict):
    """The body of a response request. Parameters that only tune a model have no effect."""

    model: str = Field(max_length=100)
    input: Text | list[InputItem]
    instructions: Text | None = None
    tools: list[Tool] = Field([], max_length=128)
    tool_choice: Literal["none", "auto", "required"] | ToolChoice = "auto"
    include: list[Includable] | None = None
    max_output_tokens: int | None = Field(None, ge=16)
    max_tool_calls: int | None = Field(None, ge=0)
    previous_response_id: str | None = Field(None, max_length=100)
    store: bool | None = True
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    background: bool | None = False
    metadata: Metadata | None = None
    parallel_tool_calls: bool | None = True
    safety_identifier: str | None = Field(None, max_length=64)
    prompt_cache_key: str | None = Field(None, max_length=64)
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    prompt_cache_options: dict[str, Any] | None = None
    user: str | None = Field(None, max_length=512)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    truncation: Literal["auto", "disabled"] | None = "disabled"
    service_tier: str | None = Field(None, max_length=32)
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None

    def items(self) -> list[InputItem]:
        if isinstance(self.input, str):
            return [InputItem(role="user", content=self.input)]
        return self.input

    def prompt(self) -> str:
        return "\n".join([self.instructions or "", *(item.text() for item in self.items())])

    def file_search(self) -> FileSearchTool | None:
        return next((tool for tool in self.tools if isinstance(tool, FileSearchTool)), None)


class CreateChatCompletion(BaseModel):
    """The parameters of a chat completion that change the form of the answer; all others are ignored."""

    model: str = Field(max_length=100)
    messages: list[InputItem] = Field(min_length=1, max_length=2048)
    max_completion_tokens: int | None = Field(None, ge=1)
    max_tokens: int | None = Field(None, ge=1)
    n: Literal[1] | None = 1
    stream: bool | None = False
    stream_options: StreamOptions | None = None

    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    def prompt(self) -> str:
        return "\n".join(message.text() for message in self.messages)


def question_of(items: list[InputItem]) -> str:
    """Return the text of the last message of the user."""
    return next((item.text() for item in reversed(items) if item.role == "user"), "")
