"""What endpoints take."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request

from fastapi_ignite.openai_sim.faults import Fault
from fastapi_ignite.openai_sim.gate import fault_of
from fastapi_ignite.openai_sim.simulator import Simulator


def _simulator(request: Request) -> Simulator:
    simulator: Simulator = request.app.state.simulator
    return simulator


SimulatorDep = Annotated[Simulator, Depends(_simulator)]
FaultDep = Annotated[Fault | None, Depends(fault_of)]
ObjectId = Annotated[str, Path(max_length=100)]
