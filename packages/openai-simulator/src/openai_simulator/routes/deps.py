"""The dependencies of the endpoints."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request

from openai_simulator.faults import Fault
from openai_simulator.middleware import fault_of
from openai_simulator.simulator import Simulator


def _simulator(request: Request) -> Simulator:
    simulator: Simulator = request.app.state.simulator
    return simulator


SimulatorDep = Annotated[Simulator, Depends(_simulator)]
FaultDep = Annotated[Fault | None, Depends(fault_of)]
ObjectId = Annotated[str, Path(max_length=100)]
