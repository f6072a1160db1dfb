"""`landmarks plan`: settings of a training -> what it will take, before it starts."""

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from landmarks.commands.planning.measure_training import open_rehearsal
from landmarks.commands.planning.plan_figures import Figure, Plan
from landmarks.commands.planning.planned_ranks import plan_ranks
from landmarks.commands.planning.planned_training import Planned, face_bytes, open_data
from landmarks.commands.preparing.config_groups import build
from landmarks.commands.training_run.auto_batch_size import (
    begin_with_reference,
    largest_batch,
    refuse_uncounted,
)
from landmarks.commands.training_run.initial_weights import settle_initial_weights
from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.commands.training_run.training_inputs import refuse_copies
from landmarks.data.batches.loader import refuse_uneven
from landmarks.distributed.launch_ranks import count_ranks
from landmarks.errors import UserError, say_count
from landmarks.files import refuse_foreign, replacing
from landmarks.inference.rebuild_model import describe_model
from landmarks.machine import count_cores, free_memory, say_bytes
from landmarks.settings import NonNegative, Positive, PositiveInt, Rule, parse_duration
from landmarks.training.memory_estimate import Estimate
from landmarks.training.out_of_memory import count_memory
from landmarks.training.scaling_model import GIB, Machine
from landmarks.training.training_state import Training

log = logging.getLogger(__name__)
RankList = Annotated[
    list,
    Rule(
        lambda v: bool(v) and all(type(one) is int and one >= 1 for one in v),
        "a list of whole numbers of at least 1",
    ),
]
START = b'{\n "what":'  # of a plan as JSON
NOT_COUNTED = (
    "Not counted: the program's start, the filling of the cache, what is written after an epoch, "
    "and the report at the end."
)
NOT_HIDDEN = "No part of the all-reduce is taken to hide behind the backward pass."


@dataclass(frozen=True, kw_only=True)
class PlanSettings(TrainSettings):
    """All that the command is told, of configs/plan.yaml: a training's settings and these."""

    machine: dict
    faces: PositiveInt | None
    points: PositiveInt | None
    ranks: PositiveInt | RankList | None
    seconds: Positive
    price: NonNegative | None
    json: bool | str | None


def plan(settings: PlanSettings) -> int:
    """Say what a training will take; return the exit code."""
    _refuse(settings)
    if settings.json is True:  # nothing else reaches the screen's output
        logging.disable(logging.INFO)
        try:
            made = make_plan(settings)
        finally:
            logging.disable(logging.NOTSET)
        print(made.as_json())
        return made.exit_code
    made = make_plan(settings)
    log.info(made.as_text())
    if settings.json:
        path = Path(settings.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_text(made.as_json(), encoding="utf-8", newline="\n")
        log.info(f"As JSON: {path}")
    return made.exit_code


def _refuse(settings: PlanSettings) -> None:
    """Refuse what is not a training that begins."""
    if settings.resume:
        raise UserError("resume= goes on with a run: plan one that begins, and leave resume= out.")
    if settings.search is not None:
        raise UserError(
            "hparams_search= is of many trainings: leave it out; each trial takes what a plan says."
        )
    if settings.epochs is None and settings.max_time is None:
        raise UserError("epochs=null needs max_time, which then decides: max_time=2h.")
    if settings.json and Path(str(settings.json)).is_dir():
        raise UserError(f"json={settings.json} is a folder: name a file in it.")
    if settings.json not in (None, True, False) and not str(settings.json).endswith(".json"):
        raise UserError(f"json={settings.json}: say true, or name a file that ends in .json.")
    if settings.json not in (None, True, False):
        refuse_foreign(Path(str(settings.json)), START, f"json={settings.json}")


def _refuse_several(settings: PlanSettings, machine: Machine, ranks: int) -> None:
    """Refuse what so many ranks cannot do, as `landmarks train` does."""
    machine.count(ranks)
    refuse_copies(settings.data, ranks)
    for setting, value in (("compile", settings.compile), ("graph", settings.graph)):
        if ranks > 1 and value is True:
            raise UserError(f"{setting}=true is of one process: plan for ranks=1, or leave it out.")


def make_plan(settings: PlanSettings) -> Plan:
    """Return the plan of a training.

    Raises:
        UserError: for data, a model or numbers that cannot be planned with.
    """
    machine = build(settings.machine)
    wanted = _ranks(settings, machine)
    if settings.init:  # a plan begins from random weights, and so would not miss them
        settle_initial_weights(settings)
    _refuse_several(settings, machine, max(wanted))
    if machine.rate is not None:  # a GPU that is not here: its memory is counted as if it were
        amp = "bf16" if settings.amp == "auto" else settings.amp
        settings = replace(settings, device="cpu", amp=amp)
    data = open_data(settings, settings.faces, settings.points)
    given, settings = settings.batch_size, begin_with_reference(settings)
    settings = replace(settings, batch_size=min(settings.batch_size, data.seen))
    small = settings if machine.rate is None else replace(settings, batch_size=2, graph=False)
    training, inputs = open_rehearsal(small, data.points)
    side = inputs.training.source.size
    batch = settings.batch_size // wanted[0] or 1
    fills = given == "auto" and (machine.rate or training.precision.device.type != "cpu")
    shapes = (batch, 3, side, side), (batch, data.points, 2)
    needed = count_memory(training, *shapes, refuse_uncounted if fills else _warn_uncounted)
    free = _free(machine, training, needed)
    if fills:
        if free is None:
            raise UserError("batch_size=auto needs machine.memory: say it, or give a number.")
        left = int(free - needed.weights)
        size = largest_batch(needed, left, data.training, max(wanted))
        settings = replace(settings, batch_size=size)
    wanted, left_out = _part(settings.batch_size, data.seen, wanted)
    known = Planned(settings, machine, data, training, inputs, needed, free)
    epochs = math.inf if settings.epochs is None else settings.epochs
    most = math.inf if settings.max_time is None else parse_duration(settings.max_time)
    several = settings.kfold if settings.kfold and settings.fold is None else 1
    ranks = plan_ranks(known, wanted, epochs, most, several)
    epochs = min(epochs, most / ranks[0].epoch.value)
    said = [*left_out, *_assumptions(known), NOT_COUNTED]
    said.append(f"Efficiency is faces/s a rank, against those of {say_count(wanted[0], 'rank')}.")
    return Plan(_say_what(known), _facts(known), epochs, several, ranks, said)


def _ranks(settings: PlanSettings, machine: Machine) -> list[int]:
    """Return how many ranks to plan for.

    Raises:
        UserError: if gpus= asks for more than there are here, as `landmarks train` would say.
    """
    if settings.ranks is None and machine.rate is None:
        return [count_ranks(settings.gpus, settings.device)]
    if settings.ranks is None and settings.gpus == "auto":
        return [machine.ranks or 1]
    wanted = settings.gpus if settings.ranks is None else settings.ranks
    return wanted if isinstance(wanted, list) else [wanted]


def _part(batch_size: int, faces: int, wanted: list[int]) -> tuple[list[int], list[str]]:
    """Return the numbers of ranks that a batch parts among, and why others are left out.

    Raises:
        UserError: if there is none.
    """
    parted, why = [], {}
    for ranks in wanted:
        try:
            refuse_uneven(batch_size, faces, ranks)
        except UserError as error:
            why[ranks] = error
        else:
            parted.append(ranks)
    if not parted:
        raise why[wanted[0]]
    return parted, [f"Left out: ranks={ranks}. {error}" for ranks, error in why.items()]


def _warn_uncounted(why: str) -> None:
    log.warning(f"The memory of this model cannot be counted ({why}).")


def _free(machine: Machine, training: Training, needed: Estimate | None) -> float | None:
    """Return the bytes there are for a rank, its model included."""
    if machine.memory is not None:
        return GIB * machine.memory
    if machine.rate is not None:
        return None
    free = free_memory(training.precision.device)
    return None if free is None or needed is None else free + needed.weights


def _say_what(known: Planned) -> str:
    settings, data = known.settings, known.data
    where = "this machine" if known.machine.rate is None else "a machine that is not here"
    return (
        f"{describe_model(settings.model)} at {settings.input_size} px on {where}, batches of "
        f"{settings.batch_size}, amp {known.training.precision.name}: {data.source}, "
        f"{data.training:,} to train on and {data.validation:,} to validate on, {data.points} "
        f"points each."
    )


def _facts(known: Planned) -> dict[str, Figure]:
    settings, data, needed = known.settings, known.data, known.needed
    cores = known.machine.cores or count_cores()
    photos = data.faces * data.photo_bytes
    seen = "measured" if not data.drawn else "assumed"
    known_arithmetic = None if needed is None else needed.flops / 1e9
    state = None if needed is None else needed.weights + needed.state
    model = sum(p.numel() for p in known.training.model.parameters())
    source = known.source()
    canvas = 0 if source == "photos" else data.faces * face_bytes(settings)
    read = {"photos": photos, "device": 0.0}.get(source, canvas)
    return {
        "parameters": Figure(model / 1e6, "M", "counted"),
        "arithmetic a face": Figure(known_arithmetic, "GFLOP", "counted"),
        "a photo's file": Figure(data.photo_bytes, "bytes", seen),
        "all photos, read once": Figure(photos, "bytes", "modelled" if not data.drawn else seen),
        "reading a photo, one core": Figure(data.reading, "s", "measured"),
        f"reading all, {cores} cores": Figure(data.faces * data.reading / cores, "s", "modelled"),
        "labels in the cache": Figure(float(data.label_bytes), "bytes", "counted"),
        "faces in the cache": Figure(
            float(0 if source == "photos" else canvas), "bytes", "counted"
        ),
        "faces read an epoch": Figure(float(read), "bytes", "counted"),
        "a checkpoint, last.pt": Figure(state, "bytes", "counted"),
    }


def _assumptions(known: Planned) -> list[str]:
    machine, data = known.machine, known.data
    said = [f"Faces of a batch come from {known.say_source()}."]
    if known.source() == "device":
        held = say_bytes(data.faces * face_bytes(known.settings))
        said.append(f"They take {held} of each GPU's memory beside what `memory each` says.")
    if data.drawn:
        said.append("Photos were drawn, of at most 256 px: real ones may be larger and slower.")
    if machine.rate is None:
        said.append(
            f"Measured for {known.settings.seconds:g} s each on {count_cores()} cores as busy as "
            "they are now, on noise."
        )
    else:
        said.append(
            f"Steps are not measured: machine.rate={machine.rate:g} TFLOP/s and "
            f"machine.launch={machine.launch:g} us are of the machine's file. Photos are read at "
            "the speed of this machine's cores."
        )
    said.append(NOT_HIDDEN)
    if known.free is not None:
        said.append(f"{say_bytes(known.free)} of memory are taken to be there for each rank.")
    return said
