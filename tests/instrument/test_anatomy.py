"""The table of phases: of each generation of runners whole, and in the same words."""

from __future__ import annotations

import pytest

from harness.instrument.anatomy import ARRIVAL, CORE, FRONT, OUTPUT, SECTIONS, TURN, phases_of, whole

TURNS = {
    "v0": "vllm.engine.llm_engine.LLMEngine.step",
    "v1": "vllm.v1.engine.core.EngineCore.step",
    "v2": "vllm.v1.engine.core.EngineCore.step",
}
MODEL = "vllm.model_executor.models.llama.LlamaForCausalLM"


@pytest.mark.parametrize("generation", TURNS)
def test_each_function_stands_once_and_what_holds_all_others_is_among_them(generation) -> None:
    phases = phases_of(TURNS[generation], generation, MODEL)
    names = [phase.name for phase in phases]
    assert len(names) == len(set(names))
    assert {phase.section for phase in phases} <= set(SECTIONS)
    assert set(whole(TURNS[generation], generation)) <= set(names)
    (turn,) = [phase for phase in phases if phase.name == TURNS[generation]]
    assert (turn.label, turn.section) == ("rest of the turn", TURN)


def test_no_generation_has_functions_of_another() -> None:
    v0, v1 = ({phase.name for phase in phases_of("turn", generation, MODEL)} for generation in ("v0", "v1"))
    assert not any(name.startswith("vllm.v1.") for name in v0)
    assert v0 & v1 == {"vllm.model_executor.layers.logits_processor.LogitsProcessor.forward"}


def test_the_same_thing_has_the_same_word_in_each_generation() -> None:
    """By it profiles are held against each other."""
    v0, v1, v2 = ({phase.label for phase in phases_of("turn", generation, MODEL)} for generation in TURNS)
    assert v0 | v2 <= v1
    assert {"schedule", "prepare inputs", "attention metadata", "forward", "sampling", "update from output"} <= v0 & v2


def test_the_output_is_in_the_turn_of_v0_and_behind_that_of_others() -> None:
    sections = {
        generation: {phase.section for phase in phases_of("turn", generation, MODEL) if phase.label == "rest of output"}
        for generation in TURNS
    }
    assert sections == {"v0": {"turn"}, "v1": {"output"}, "v2": {"output"}}
    assert [len(whole("turn", generation)) for generation in TURNS] == [2, 4, 4]


def test_the_forward_phase_of_v0_is_the_models_own_and_left_out_where_that_is_unknown() -> None:
    forward = [phase.name for phase in phases_of("turn", "v0", MODEL) if phase.label == "forward"]
    assert forward == [f"{MODEL}.forward"]
    assert "forward" not in {phase.label for phase in phases_of("turn", "v0")}
    assert not any("{" in phase.name for phase in phases_of("turn", "v0"))


def test_without_a_turn_only_what_the_runner_does_is_told() -> None:
    assert {phase.section for phase in phases_of("", "v1")} == {TURN}
    assert [name.rpartition(".")[2] for name in whole("", "v2")] == ["execute_model", "sample_tokens"]


def test_a_process_of_its_own_has_the_phases_that_lie_in_it() -> None:
    """The front end has what is before and behind the core; a core alone takes requests where they are queued."""
    turn = TURNS["v1"]
    before, queued, arrival, output = (
        "vllm.entrypoints.llm.LLM._process_inputs",  # of 0.12 alone
        "vllm.v1.engine.core.EngineCore.add_request",
        "vllm.v1.engine.llm_engine.LLMEngine.add_request",
        "vllm.v1.engine.output_processor.OutputProcessor.process_outputs",
    )
    assert whole("", FRONT) == whole(turn, FRONT) == (before, arrival, output)
    assert whole(turn, "v1", front_apart=True) == whole(turn, CORE, front_apart=True) == (queued, turn)
    assert whole(turn, "v1") == whole(turn, "v2") == (before, arrival, turn, output)
    front = phases_of("", FRONT)
    assert {phase.section for phase in front} == {ARRIVAL, OUTPUT}
    assert {arrival, output} <= {phase.name for phase in front}
    assert not any(phase.generation for phase in front)
    core = {phase.label for phase in phases_of(turn, CORE)}
    assert {"messages to workers", "wait for workers", "schedule"} <= core
    assert not {"prepare inputs", "rest of execute", "forward"} & core
    assert not {"messages to workers", "wait for workers"} & {phase.label for phase in phases_of(turn, "v1")}
