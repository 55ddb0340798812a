"""The phases of a request's way through vLLM, from its arrival to its text, by the functions that they are.

Names of all generations of runners stand side by side; those that a release of vLLM does not have are passed over, and
a profile says which there are. vLLM's V2 runner has no scopes of its own for them. What is the same thing has the same
label in each generation, so that their profiles can be held against each other.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["ARRIVAL", "CORE", "FRONT", "OUTPUT", "PHASES_OF_A_TURN", "SECTIONS", "TURN", "Phase", "phases_of", "whole"]

ARRIVAL: Final = "arrival"
TURN: Final = "turn"
OUTPUT: Final = "output"
SECTIONS: Final = (ARRIVAL, TURN, OUTPUT)
"""What happens to a request when it comes; what the engine core does in a turn; what becomes of the turn's tokens."""


CORE: Final = "core"
FRONT: Final = "front"
"""Generations of loops without a runner: an engine core's, a front end's (`harness.instrument.loops`)."""


class Phase(NamedTuple):
    """A part of a section.

    Attributes:
        label: what tables call it. Several functions of one label are added up.
        section: one of `SECTIONS`.
        name: of the function, in full; `{model}` in it stands for the class of the model that is served.
        generation: of the runner, or of the loop without one, that has it; empty where all of today's vLLM have it.
    """

    label: str
    section: str
    name: str
    generation: str = ""


_CORE: Final = "vllm.v1.core.sched.scheduler.Scheduler"
_V1: Final = "vllm.v1.worker.gpu_model_runner.GPUModelRunner"
_V2: Final = "vllm.v1.worker.gpu.model_runner.GPUModelRunner"
_QUEUE: Final = "vllm.distributed.device_communicators.shm_broadcast.MessageQueue"
_SAMPLER: Final = "vllm.v1.sample.sampler.Sampler"
_BEFORE_ARRIVAL: Final = "vllm.entrypoints.llm.LLM._process_inputs"
"""Of 0.12, which processes a prompt before it adds the request, and looks at the prompt's length first."""
_OF_TODAY: Final = ("v1", "v2", CORE, FRONT)
_V0: Final = "vllm.worker.model_runner.ModelRunner"
_V0_ENGINE: Final = "vllm.engine.llm_engine.LLMEngine"
_V0_BLOCKS: Final = "vllm.core.block_manager_v1.BlockSpaceManagerV1"
_V0_SAMPLER: Final = "vllm.model_executor.layers.sampler"
_LOGITS: Final = "vllm.model_executor.layers.logits_processor"
MODEL: Final = "{model}"
"""Of a phase's name: vLLM 0.5.4 calls the model itself, without a method of the runner in between."""

PHASES_OF_A_TURN: Final = (
    Phase("rest of arrival", ARRIVAL, "vllm.v1.engine.llm_engine.LLMEngine.add_request"),
    Phase("prompt's length", ARRIVAL, _BEFORE_ARRIVAL),
    Phase("input processing", ARRIVAL, "vllm.v1.engine.input_processor.InputProcessor.process_inputs"),
    Phase("output state", ARRIVAL, "vllm.v1.engine.output_processor.OutputProcessor.add_request"),
    Phase("request made", ARRIVAL, "vllm.v1.engine.core.EngineCore.preprocess_add_request"),
    Phase("request queued", ARRIVAL, "vllm.v1.engine.core.EngineCore.add_request"),
    Phase("rest of the turn", TURN, "vllm.v1.engine.core.EngineCore.step"),
    Phase("rest of the turn", TURN, "vllm.v1.engine.core.EngineCore.step_with_batch_queue"),
    Phase("messages to workers", TURN, f"{_QUEUE}.enqueue", CORE),
    Phase("wait for workers", TURN, f"{_QUEUE}.dequeue", CORE),
    Phase("schedule", TURN, f"{_CORE}.schedule"),
    Phase("new blocks", TURN, "vllm.v1.core.block_pool.BlockPool.get_new_blocks"),
    Phase("rest of execute", TURN, f"{_V1}.execute_model", "v1"),
    Phase("update states", TURN, f"{_V1}._update_states", "v1"),
    Phase("prepare inputs", TURN, f"{_V1}._prepare_inputs", "v1"),
    Phase("attention metadata", TURN, f"{_V1}._build_attention_metadata", "v1"),
    Phase("model inputs", TURN, f"{_V1}._preprocess", "v1"),
    Phase("rest of execute", TURN, f"{_V2}.execute_model", "v2"),
    Phase("update states", TURN, f"{_V2}.finish_requests", "v2"),
    Phase("update states", TURN, f"{_V2}.free_states", "v2"),
    Phase("update states", TURN, f"{_V2}.add_requests", "v2"),
    Phase("update states", TURN, f"{_V2}.update_requests", "v2"),
    Phase("prepare inputs", TURN, f"{_V2}.prepare_inputs", "v2"),
    Phase("attention metadata", TURN, f"{_V2}.prepare_attn", "v2"),
    Phase("forward", TURN, f"{_V1}._model_forward", "v1"),
    Phase("forward", TURN, "vllm.v1.worker.gpu.cudagraph_utils.ModelCudaGraphManager.run_fullgraph", "v2"),
    Phase("logits", TURN, f"{_LOGITS}.LogitsProcessor.forward"),
    Phase("grammar", TURN, f"{_CORE}.get_grammar_bitmask"),
    Phase("grammar", TURN, "vllm.v1.structured_output.utils.apply_grammar_bitmask"),
    Phase("sampling metadata", TURN, "vllm.v1.worker.gpu_input_batch.InputBatch._make_sampling_metadata", "v1"),
    Phase("logits processors", TURN, f"{_SAMPLER}.apply_logits_processors"),
    Phase("sampling", TURN, f"{_V1}._sample", "v1"),
    Phase("sampling", TURN, f"{_V2}.sample", "v2"),
    Phase("drafts", TURN, f"{_V1}.propose_draft_token_ids", "v1"),
    Phase("bookkeeping", TURN, f"{_V1}._bookkeeping_sync", "v1"),
    Phase("bookkeeping", TURN, f"{_V2}.postprocess_sampled", "v2"),
    Phase("rest of sample", TURN, f"{_V1}.sample_tokens", "v1"),
    Phase("rest of sample", TURN, f"{_V2}.sample_tokens", "v2"),
    Phase("update from output", TURN, f"{_CORE}.update_from_output"),
    Phase("rest of output", OUTPUT, "vllm.v1.engine.output_processor.OutputProcessor.process_outputs"),
    Phase("detokenising", OUTPUT, "vllm.v1.engine.detokenizer.BaseIncrementalDetokenizer.update"),
    Phase("logprobs", OUTPUT, "vllm.v1.engine.logprobs.LogprobsProcessor.update_from_output"),
    # V0's turn has all of it, the output too; and its sampler makes each token's log probabilities in any case.
    Phase("rest of arrival", ARRIVAL, f"{_V0_ENGINE}.add_request", "v0"),
    Phase("input processing", ARRIVAL, f"{_V0_ENGINE}.process_model_inputs", "v0"),
    Phase("request made", ARRIVAL, f"{_V0_ENGINE}._add_processed_request", "v0"),
    Phase("request queued", ARRIVAL, "vllm.core.scheduler.Scheduler.add_seq_group", "v0"),
    Phase("rest of the turn", TURN, f"{_V0_ENGINE}.step", "v0"),
    Phase("schedule", TURN, "vllm.core.scheduler.Scheduler.schedule", "v0"),
    Phase("new blocks", TURN, f"{_V0_BLOCKS}._allocate_sequence", "v0"),
    Phase("new blocks", TURN, f"{_V0_BLOCKS}._allocate_last_physical_block", "v0"),
    Phase("prepare inputs", TURN, f"{_V0}.prepare_model_input", "v0"),
    Phase("prepare inputs", TURN, "vllm.worker.worker.Worker.prepare_worker_input", "v0"),
    Phase("attention metadata", TURN, "vllm.attention.backends.flash_attn.FlashAttentionMetadataBuilder.build", "v0"),
    Phase("sampling metadata", TURN, "vllm.model_executor.sampling_metadata.SamplingMetadata.prepare", "v0"),
    Phase("rest of execute", TURN, f"{_V0}.execute_model", "v0"),
    Phase("forward", TURN, f"{MODEL}.forward", "v0"),
    Phase("logits", TURN, f"{_LOGITS}.LogitsProcessor.forward", "v0"),
    Phase("logits processors", TURN, f"{_LOGITS}._apply_logits_processors", "v0"),
    Phase("logits processors", TURN, f"{_V0_SAMPLER}._apply_min_tokens_penalty", "v0"),
    Phase("logits processors", TURN, f"{_V0_SAMPLER}._apply_penalties", "v0"),
    Phase("sampling", TURN, f"{_V0_SAMPLER}.Sampler.forward", "v0"),
    Phase("sampling metadata", TURN, f"{_V0_SAMPLER}.Sampler._init_sampling_tensors", "v0"),
    Phase("logprobs", TURN, f"{_V0_SAMPLER}._get_logprobs", "v0"),
    Phase("bookkeeping", TURN, f"{_V0_SAMPLER}._build_sampler_output", "v0"),
    Phase("update from output", TURN, f"{_V0_ENGINE}._process_model_outputs", "v0"),
    Phase("detokenising", TURN, "vllm.transformers_utils.detokenizer.Detokenizer.decode_sequence_inplace", "v0"),
    Phase("rest of output", TURN, "vllm.outputs.RequestOutputFactory.create", "v0"),
)
"""Of each generation in the order of a turn; where one is called by another, its time is taken out of the other's."""
_ARRIVAL: Final = {"v0": f"{_V0_ENGINE}.add_request"} | dict.fromkeys(
    _OF_TODAY, "vllm.v1.engine.llm_engine.LLMEngine.add_request"
)
_OUTPUT: Final = dict.fromkeys(_OF_TODAY, "vllm.v1.engine.output_processor.OutputProcessor.process_outputs")
"""By generation; V0's output is in its turn."""
_QUEUED: Final = "vllm.v1.engine.core.EngineCore.add_request"


def whole(turn: str, generation: str, front_apart: bool = False) -> tuple[str, ...]:
    """The functions that hold all the others in a process: of each section the outermost.

    Args:
        turn: the function of the engine core that is a turn; empty where the core is in another process. Then only
            what the model runner does is seen, or the front end.
        generation: of the runner, or of the loop where none is in the process.
        front_apart: whether the front end is in another process than the engine core.
    """
    if generation == FRONT:
        return (_BEFORE_ARRIVAL, _ARRIVAL[FRONT], _OUTPUT[FRONT])
    if turn and front_apart:
        return (_QUEUED, turn)
    if turn:
        before = "" if generation == "v0" else _BEFORE_ARRIVAL
        return tuple(filter(None, (before, _ARRIVAL[generation], turn, _OUTPUT.get(generation))))
    runner = {"v1": _V1, "v2": _V2}[generation]
    return (f"{runner}.execute_model", f"{runner}.sample_tokens")


def phases_of(turn: str, generation: str, model: str = "") -> list[Phase]:
    """The phases that a runner of this generation may have; without a turn, those of its worker's process.

    The front end has the arrival's and the output's.

    Args:
        turn: as in `whole`.
        generation: of the runner, or of the loop where none is in the process.
        model: the full name of the class of the model that is served; empty where it is not known, and then a phase
            that is a method of it is left out.
    """
    if generation == FRONT:
        return [phase for phase in PHASES_OF_A_TURN if phase.section != TURN and not phase.generation]
    return [
        phase._replace(name=phase.name.replace(MODEL, model))
        for phase in PHASES_OF_A_TURN
        if generation in ((phase.generation,) if phase.generation else _OF_TODAY)
        and (turn or phase.section == TURN)
        and (model or MODEL not in phase.name)
    ]
