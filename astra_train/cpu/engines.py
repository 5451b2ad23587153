"""verl's FSDP engines on the CPU: less padding for the policy, attention that a CPU has for the critic."""

from __future__ import annotations

from typing import Any

from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead, FSDPEngineWithValueHead


class CPUPolicyEngine(FSDPEngineWithLMHead):
    """verl's engine with rows of like length in the same micro-batch; the preset makes it run on gloo, in float32.

    A micro-batch is padded to its longest row, and without FlashAttention padding costs what tokens cost.
    """

    def forward_backward_batch(self, data: Any, loss_function: Any, forward_only: bool = False) -> Any:
        """As verl's, for rows in another order when they are trained on: the sum of gradients has none."""
        from verl.utils import tensordict_utils

        dynamic = tensordict_utils.get_non_tensor_data(data=data, key="use_dynamic_bsz", default=True)
        wanted = tensordict_utils.get_non_tensor_data(data=data, key="return_model_output", default=False)
        if not (forward_only or dynamic or wanted):
            order = data["input_ids"].offsets().diff().argsort(stable=True)
            data = tensordict_utils.index_select_tensor_dict(data, order)
        return super().forward_backward_batch(data, loss_function, forward_only=forward_only)


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
