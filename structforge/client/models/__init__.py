"""Every body. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.models.ai_models import AiModelReply
from structforge.client.models.api_keys import KeyReply, NewKeyReply, ScopeReply
from structforge.client.models.approvals import ApprovalReply, DecisionReply, WaitingCount
from structforge.client.models.audit import AuditEntryReply
from structforge.client.models.auth import MethodsReply, TokenReply
from structforge.client.models.budgets import BudgetReply
from structforge.client.models.codec_server import PayloadForm, PayloadReply, PayloadsReply
from structforge.client.models.credentials import (
    CredentialReply,
    CredentialTypeReply,
    CredentialTypesReply,
    UsesReply,
    WorkflowUseReply,
)
from structforge.client.models.events import (
    EventReply,
    EventRequest,
    EventStartReply,
    ParkedMessageReply,
    ParkedMessagesReply,
    PublishBatchReply,
    PublishReply,
)
from structforge.client.models.executions import (
    BulkReply,
    BulkResult,
    ExecutionDetail,
    ExecutionReply,
    FilterRequest,
    NodeExecutionReply,
    NodeUsage,
)
from structforge.client.models.export_and_import import Imported, ImportReply
from structforge.client.models.folders import FolderReply
from structforge.client.models.grants import GrantReply, GrantsReply
from structforge.client.models.logs import LogLineReply, LogPage
from structforge.client.models.me import MeReply, SessionReply
from structforge.client.models.node_types import NodeTypeReply
from structforge.client.models.notifications import NotificationReply, NotificationRuleReply, NotificationTemplate
from structforge.client.models.quotas import QuotaReply, Quotas, QuotaUsage, Usages
from structforge.client.models.schedules import PreviewReply, ScheduleReply
from structforge.client.models.shared import (
    InvitationReply,
    IssueReply,
    PersonReply,
    TenantReply,
    UsageSums,
    WorkflowDetail,
    WorkflowReply,
)
from structforge.client.models.shares import NewShareReply, ShareReply
from structforge.client.models.stats import Durations, StatsReply, WorkflowStats
from structforge.client.models.system import Health, QueueReply, QueueSide, Readiness, ServedQueue, WorkerReply
from structforge.client.models.tags import TagReply
from structforge.client.models.templates import TemplateDetail, TemplateReply
from structforge.client.models.tenants import InviteRequest, NewTenantReply, TenantRecord
from structforge.client.models.usage import ExecutionUsage, NodeUsageReply, UsageGroup, UsageReply
from structforge.client.models.users import MemberReply
from structforge.client.models.versions import (
    Change,
    DiffReply,
    Edge,
    GraphDiff,
    NodeChange,
    Pruned,
    VersionDetail,
    VersionReply,
)
from structforge.client.models.webhooks import HookList, HookReply
from structforge.client.models.workflows import Validation

__all__ = [
    "AiModelReply",
    "ApprovalReply",
    "AuditEntryReply",
    "BudgetReply",
    "BulkReply",
    "BulkResult",
    "Change",
    "CredentialReply",
    "CredentialTypeReply",
    "CredentialTypesReply",
    "DecisionReply",
    "DiffReply",
    "Durations",
    "Edge",
    "EventReply",
    "EventRequest",
    "EventStartReply",
    "ExecutionDetail",
    "ExecutionReply",
    "ExecutionUsage",
    "FilterRequest",
    "FolderReply",
    "GrantReply",
    "GrantsReply",
    "GraphDiff",
    "Health",
    "HookList",
    "HookReply",
    "ImportReply",
    "Imported",
    "InvitationReply",
    "InviteRequest",
    "IssueReply",
    "KeyReply",
    "LogLineReply",
    "LogPage",
    "MeReply",
    "MemberReply",
    "MethodsReply",
    "NewKeyReply",
    "NewShareReply",
    "NewTenantReply",
    "NodeChange",
    "NodeExecutionReply",
    "NodeTypeReply",
    "NodeUsage",
    "NodeUsageReply",
    "NotificationReply",
    "NotificationRuleReply",
    "NotificationTemplate",
    "ParkedMessageReply",
    "ParkedMessagesReply",
    "PayloadForm",
    "PayloadReply",
    "PayloadsReply",
    "PersonReply",
    "PreviewReply",
    "Pruned",
    "PublishBatchReply",
    "PublishReply",
    "QueueReply",
    "QueueSide",
    "QuotaReply",
    "QuotaUsage",
    "Quotas",
    "Readiness",
    "ScheduleReply",
    "ScopeReply",
    "ServedQueue",
    "SessionReply",
    "ShareReply",
    "StatsReply",
    "TagReply",
    "TemplateDetail",
    "TemplateReply",
    "TenantRecord",
    "TenantReply",
    "TokenReply",
    "UsageGroup",
    "UsageReply",
    "UsageSums",
    "Usages",
    "UsesReply",
    "Validation",
    "VersionDetail",
    "VersionReply",
    "WaitingCount",
    "WorkerReply",
    "WorkflowDetail",
    "WorkflowReply",
    "WorkflowStats",
    "WorkflowUseReply",
]
