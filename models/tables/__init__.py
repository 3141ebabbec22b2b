"""Every table of StructForge, one file each. Importing them needs no database."""

from models.tables.ai_budget import AiBudget
from models.tables.ai_call import AiCall, AiSpend
from models.tables.ai_model import AiModel
from models.tables.api_key import ApiKey
from models.tables.app_user import AppUser
from models.tables.approval import Approval
from models.tables.execution import Execution
from models.tables.execution_log import ExecutionLog
from models.tables.idempotency_key import IdempotencyKey
from models.tables.node_execution import NodeExecution
from models.tables.outbox import Outbox
from models.tables.quota_counter import QuotaCounter
from models.tables.tenant import Tenant
from models.tables.workflow import Workflow
from models.tables.workflow_version import WorkflowVersion

__all__ = [
    "AiBudget",
    "AiCall",
    "AiModel",
    "AiSpend",
    "ApiKey",
    "AppUser",
    "Approval",
    "Execution",
    "ExecutionLog",
    "IdempotencyKey",
    "NodeExecution",
    "Outbox",
    "QuotaCounter",
    "Tenant",
    "Workflow",
    "WorkflowVersion",
]
