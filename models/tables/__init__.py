"""Every table of StructForge, one file each. Importing them needs no database."""

from models.tables.ai_budget import AiBudget
from models.tables.ai_call import AiCall, AiSpend
from models.tables.ai_model import AiModel
from models.tables.api_key import ApiKey
from models.tables.app_user import AppUser
from models.tables.approval import Approval
from models.tables.audit_entry import AuditEntry
from models.tables.bulk_request import BulkRequest
from models.tables.credential import Credential, CredentialUse
from models.tables.execution import Execution
from models.tables.execution_log import ExecutionLog
from models.tables.folder import Folder
from models.tables.idempotency_key import IdempotencyKey
from models.tables.leadership import Leadership
from models.tables.login_session import LoginSession
from models.tables.membership import Membership
from models.tables.node_execution import NodeExecution
from models.tables.oidc_identity import OidcIdentity
from models.tables.outbox import Outbox
from models.tables.quota import Quota
from models.tables.quota_counter import QuotaCounter
from models.tables.schedule import Schedule
from models.tables.share_link import ShareLink
from models.tables.template import Template
from models.tables.tenant import Tenant
from models.tables.user_account import UserAccount
from models.tables.waiting_execution import WaitingExecution
from models.tables.workflow import Workflow
from models.tables.workflow_grant import WorkflowGrant
from models.tables.workflow_tag import WorkflowTag
from models.tables.workflow_version import WorkflowVersion

__all__ = [
    "AiBudget",
    "AiCall",
    "AiModel",
    "AiSpend",
    "ApiKey",
    "AppUser",
    "Approval",
    "AuditEntry",
    "BulkRequest",
    "Credential",
    "CredentialUse",
    "Execution",
    "ExecutionLog",
    "Folder",
    "IdempotencyKey",
    "Leadership",
    "LoginSession",
    "Membership",
    "NodeExecution",
    "OidcIdentity",
    "Outbox",
    "Quota",
    "QuotaCounter",
    "Schedule",
    "ShareLink",
    "Template",
    "Tenant",
    "UserAccount",
    "WaitingExecution",
    "Workflow",
    "WorkflowGrant",
    "WorkflowTag",
    "WorkflowVersion",
]
