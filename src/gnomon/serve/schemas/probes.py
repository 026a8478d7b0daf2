"""Answers to probes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class Liveness(BaseModel):
    """The process lives."""

    status: Literal["alive"] = "alive"


class ReadyAnswer(BaseModel):
    """Requests are welcome."""

    status: Literal["ready"] = "ready"
