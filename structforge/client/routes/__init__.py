"""All routes. Written by docs/generate.py from the OpenAPI document: change the API, not this file."""

from __future__ import annotations

from structforge.client.routes.ai_models import AiModelsRoutes
from structforge.client.routes.api_keys import ApiKeysRoutes
from structforge.client.routes.approvals import ApprovalsRoutes
from structforge.client.routes.audit import AuditRoutes
from structforge.client.routes.auth import AuthRoutes
from structforge.client.routes.budgets import BudgetsRoutes
from structforge.client.routes.codec_server import CodecServerRoutes
from structforge.client.routes.credentials import CredentialsRoutes
from structforge.client.routes.events import EventsRoutes
from structforge.client.routes.executions import ExecutionsRoutes
from structforge.client.routes.export_and_import import ExportAndImportRoutes
from structforge.client.routes.folders import FoldersRoutes
from structforge.client.routes.grants import GrantsRoutes
from structforge.client.routes.logs import LogsRoutes
from structforge.client.routes.me import MeRoutes
from structforge.client.routes.node_types import NodeTypesRoutes
from structforge.client.routes.notifications import NotificationsRoutes
from structforge.client.routes.quotas import QuotasRoutes
from structforge.client.routes.schedules import SchedulesRoutes
from structforge.client.routes.shares import SharesRoutes
from structforge.client.routes.stats import StatsRoutes
from structforge.client.routes.system import SystemRoutes
from structforge.client.routes.tags import TagsRoutes
from structforge.client.routes.templates import TemplatesRoutes
from structforge.client.routes.tenants import TenantsRoutes
from structforge.client.routes.usage import UsageRoutes
from structforge.client.routes.users import UsersRoutes
from structforge.client.routes.versions import VersionsRoutes
from structforge.client.routes.webhooks import WebhooksRoutes
from structforge.client.routes.workflows import WorkflowsRoutes


class Routes(
    AiModelsRoutes,
    ApiKeysRoutes,
    ApprovalsRoutes,
    AuditRoutes,
    AuthRoutes,
    BudgetsRoutes,
    CodecServerRoutes,
    CredentialsRoutes,
    EventsRoutes,
    ExecutionsRoutes,
    ExportAndImportRoutes,
    FoldersRoutes,
    GrantsRoutes,
    LogsRoutes,
    MeRoutes,
    NodeTypesRoutes,
    NotificationsRoutes,
    QuotasRoutes,
    SchedulesRoutes,
    SharesRoutes,
    StatsRoutes,
    SystemRoutes,
    TagsRoutes,
    TemplatesRoutes,
    TenantsRoutes,
    UsageRoutes,
    UsersRoutes,
    VersionsRoutes,
    WebhooksRoutes,
    WorkflowsRoutes,
):
    """Every operation of the API, called by its operationId."""
