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
from models.tables.event import Event, EventStart, EventTrigger
from models.tables.execution import Execution
from models.tables.execution_log import ExecutionLog
from models.tables.folder import Folder
from models.tables.hook import Hook, HookNonce
from models.tables.idempotency_key import IdempotencyKey
from models.tables.idempotent_reply import IdempotentReply
from models.tables.leadership import Leadership
from models.tables.login_session import LoginSession
from models.tables.membership import Membership
from models.tables.node_execution import NodeExecution
from models.tables.notification import Notification, NotificationRule, QuotaNotice
from models.tables.oidc_identity import OidcIdentity
from models.tables.outbox import Outbox, OutboxInterest
from models.tables.quota import Quota
from models.tables.quota_counter import QuotaCounter
from models.tables.schedule import Schedule
from models.tables.share_link import ShareLink
from models.tables.template import Template
from models.tables.tenant import Tenant
from models.tables.upkeep_count import UpkeepCount
from models.tables.user_account import UserAccount
from models.tables.waiting_execution import WaitingExecution
from models.tables.workflow import Workflow
from models.tables.workflow_call import WorkflowCall
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
    "Event",
    "EventStart",
    "EventTrigger",
    "Execution",
    "ExecutionLog",
    "Folder",
    "Hook",
    "HookNonce",
    "IdempotencyKey",
    "IdempotentReply",
    "Leadership",
    "LoginSession",
    "Membership",
    "NodeExecution",
    "Notification",
    "NotificationRule",
    "OidcIdentity",
    "Outbox",
    "OutboxInterest",
    "Quota",
    "QuotaCounter",
    "QuotaNotice",
    "Schedule",
    "ShareLink",
    "Template",
    "Tenant",
    "UpkeepCount",
    "UserAccount",
    "WaitingExecution",
    "Workflow",
    "WorkflowCall",
    "WorkflowGrant",
    "WorkflowTag",
    "WorkflowVersion",
]
