"""Running tool functions on source that nobody has read: policy, budgets, isolation.

`make_executor(program)` gives one callable `ToolCall -> ToolResult`; `IsolatedRunner` runs whole lists of calls for
certification; `check_source` says why a source is refused; `describe_policy` says what it may contain.
"""

from astra_gym.sandbox.describe import describe_policy
from astra_gym.sandbox.executor import Isolation, ToolExecutor, make_executor
from astra_gym.sandbox.inprocess import InProcessExecutor
from astra_gym.sandbox.limits import Limits
from astra_gym.sandbox.policy.compiler import check_source
from astra_gym.sandbox.policy.violations import PolicyViolationError, Violation
from astra_gym.sandbox.program import Program
from astra_gym.sandbox.report import isolation_report
from astra_gym.sandbox.validation import ArgumentValidator
from astra_gym.sandbox.vet import VetRecord, record_vet, vetted
from astra_gym.sandbox.worker.executor import WorkerExecutor
from astra_gym.sandbox.worker.runner import IsolatedRunner, RunReport

__all__ = [
    "ArgumentValidator",
    "InProcessExecutor",
    "IsolatedRunner",
    "Isolation",
    "Limits",
    "PolicyViolationError",
    "Program",
    "RunReport",
    "ToolExecutor",
    "VetRecord",
    "Violation",
    "WorkerExecutor",
    "check_source",
    "describe_policy",
    "isolation_report",
    "make_executor",
    "record_vet",
    "vetted",
]
