"""What a failed run says: the last traceback of its log without the noise of many processes."""

from __future__ import annotations

import re
from pathlib import Path

_TAIL_BYTES = 400_000
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_WORKER = re.compile(r"^\((?:[\w.:]+ )?(?:pid|ip)=[^)]*\)\s?")
_ERROR = re.compile(r"^(?:[A-Za-z_][\w]*\.)*[A-Za-z_]\w*(?:Error|Exception|Interrupt|Exit|Warning|Failure)\b.*")
_NOISE = re.compile(
    r"^\s*(?:ray::|File \".*/(?:ray|torch/distributed|hydra)/|Set the environment variable HYDRA)|\[repeated "
)
_HINTS = (
    ("No space left on device", "the disk is full: free some, then resume with --resume"),
    (
        "CUDA out of memory",
        "the GPU's memory is full: lower ppo_max_token_len_per_gpu or rollout.gpu_memory_utilization",
    ),
    ("OutOfMemoryError", "memory is full: lower the batch, the lengths or rollout.gpu_memory_utilization"),
    (
        "NoSignalError",
        "no group of rollouts had a learning signal: a stronger start (SFT), easier envs, or a smaller delta",
    ),
    ("Total available GPUs", "Ray sees fewer GPUs than trainer.nnodes * trainer.n_gpus_per_node"),
    ("ray.exceptions.NodeDiedError", "a machine left the Ray cluster; resume with --resume when it is back"),
)
_KILLED = {-9: "it was killed (SIGKILL): out of memory, or by somebody", 137: "it was killed (SIGKILL): out of memory?"}


def log_lines(log: Path) -> list[str]:
    """The last lines of a log without colours and without the names of Ray's workers."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [_WORKER.sub("", _COLOUR.sub("", line)).rstrip() for line in text.splitlines()]


def last_error(lines: list[str], context: int = 6) -> list[str]:
    """The line that names the last error, with the places it came from; the last lines when there is none."""
    kept = [line for line in lines if line.strip()]
    starts = [i for i, line in enumerate(kept) if line.lstrip().startswith("Traceback (most recent call last)")]
    for start in reversed(starts):
        for i in range(start + 1, len(kept)):
            if _ERROR.match(kept[i].strip()):
                places = [line for line in kept[start + 1 : i] if not _NOISE.match(line)]
                return [*places[-context:], *_message(kept, i)]
    errors = [i for i, line in enumerate(kept) if _ERROR.match(line.strip())]
    if errors:
        return _message(kept, errors[-1])
    return kept[-context:]


def _message(lines: list[str], index: int, most: int = 6) -> list[str]:
    """The line of an error and what belongs to it: until the next traceback or an empty start."""
    message = [lines[index].strip()]
    for line in lines[index + 1 : index + most]:
        if line.startswith(("Traceback", "The above", "During handling", "E1", "W1", "INFO", "WARNING")):
            break
        message.append(line)
    return message


def explain_failure(log: Path, exit_code: int) -> str:
    """One message: what happened, what would help, where the whole log is."""
    lines = log_lines(log)
    said = "\n".join(f"  {line}" for line in last_error(lines))
    tail = "\n".join(lines[-400:])
    hints = [hint for pattern, hint in _HINTS if pattern in tail]
    if exit_code in _KILLED and not hints:
        hints = [_KILLED[exit_code]]
    hint = f"\n{hints[0]}" if hints else ""
    return f"the training ended with exit code {exit_code}:\n{said}{hint}\nthe whole log: {log}"
