"""verl's FSDP engines on the CPU: the policy's as it is, the critic's with attention that a CPU has."""

from __future__ import annotations

from typing import Any

from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead, FSDPEngineWithValueHead


class CPUPolicyEngine(FSDPEngineWithLMHead):
    """verl's engine; the preset's settings make it run on gloo and in float32."""


class CPUValueEngine(FSDPEngineWithValueHead):
    """The critic: one value a token, from a new head on the policy's own layers.

    verl asks for FlashAttention here whatever the settings say, so the model is loaded by this class.
    """

    def _build_module(self) -> Any:
        import torch
        from transformers import AutoModelForTokenClassification
        from verl.utils.torch_dtypes import PrecisionType

        config = self.model_config.hf_config
        config.num_labels = 1
        config.classifier_dropout = 0.0
        dtype = PrecisionType.to_dtype(self.engine_config.model_dtype or torch.float32)
        module = AutoModelForTokenClassification.from_pretrained(
            self.model_config.local_path,
            dtype=dtype,
            config=config,
            attn_implementation="sdpa",
            trust_remote_code=self.model_config.trust_remote_code,
        )
        return module.to(dtype)
